"""Models on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional


def push(
    model: Annotated[Path, Positional],
    repo: Annotated[str, Positional],
    *,
    licence: str,
    private: bool = False,
    limits: str | None = None,
) -> None:
    """Publish a model on the Hugging Face hub with a complete card.

    Args:
        model: A run, whose evaluation and samples go along, or a bundle.
        repo: user/name, or a folder that begins with . or /.
        licence: Of the weights, as the hub names it: cc-by-4.0, mit, ...
        private: Make the repository private.
        limits: What it cannot do, for the card.
    """
    from unpaired.hub import push

    print(push(model, repo, licence, private=private, limits=limits))


def pull(repo: Annotated[str, Positional], out: Annotated[Path, Positional]) -> None:
    """Fetch a model from the Hugging Face hub; `hub:user/name` in place of a model does too.

    Args:
        repo: user/name or user/name@revision, or a folder that begins with . or /.
        out: Folder for the bundle and its card.
    """
    from unpaired.hub import pull

    print(pull(repo, out))
