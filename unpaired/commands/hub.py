"""Models on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from unpaired.commands.arguments import Folder


def push(model: Path, repo: str, *, licence: str, private: bool = False, limits: str | None = None) -> None:
    """Publish a model with its card on the Hugging Face hub.

    Args:
        model: A bundle, or a run, whose evaluation and samples are published too.
        repo: user/name, or a folder whose path begins with . or /.
        licence: Of the weights, as the hub names it: cc-by-4.0, mit, ...
        private: Make the repository private.
        limits: Known limits of the model, for the card.

    Example:
        unpaired push runs/mine me/horse2zebra --licence cc-by-4.0
    """
    from unpaired.hub import push

    print(push(model, repo, licence, private=private, limits=limits))


def pull(repo: str, out: Folder) -> None:
    """Fetch a model from the Hugging Face hub.

    Every command also takes `hub:user/name` as MODEL.

    Args:
        repo: user/name or user/name@revision, or a folder whose path begins with . or /.
        out: Folder for the bundle and its card.

    Example:
        unpaired pull me/horse2zebra models/zebra
    """
    from unpaired.hub import pull

    print(pull(repo, out))
