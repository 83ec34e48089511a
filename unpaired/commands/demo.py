"""The whole way on real images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional


def demo(out: Annotated[Path, Positional] = Path("demo"), *, steps: int | None = None, seed: int = 0) -> None:
    """The whole way on real images in minutes: prepare Earth, train, translate, evaluate, report.

    Args:
        out: Folder for the data, the run and the translations; the same command again goes on.
        steps: Training steps, fewer for a quick look.
        seed: Start of every random choice.
    """
    from unpaired.commands.demo_run import run_demo

    run_demo(out, steps=steps, seed=seed)
