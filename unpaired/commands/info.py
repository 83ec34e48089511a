"""What a run or a bundle is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional


def info(model: Annotated[Path, Positional], *, json: bool = False) -> None:
    """What a run, a bundle or an exported file is: preset, directions, networks, steps.

    Args:
        model: A run's folder, a bundle or an exported file.
        json: Print every setting as JSON.
    """
    from unpaired.inference.info import describe

    print(describe(model, as_json=json))
