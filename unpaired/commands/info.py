"""The facts of a model."""

from __future__ import annotations

from pathlib import Path


def info(model: Path, *, json: bool = False) -> None:
    """Show preset, directions, networks and steps of a model.

    Args:
        model: A run's folder, a bundle or an exported file.
        json: Print every setting as JSON.

    Example:
        unpaired info runs/mine
    """
    from unpaired.inference.info import describe

    print(describe(model, as_json=json))
