"""The facts of a model."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path


def info(model: Path, *, json: bool = False) -> None:
    """Show preset, directions, networks and steps of a model.

    Args:
        model: A run's folder, a bundle or an exported file.
        json: Print every setting as JSON.

    Example:
        unpaired info runs/mine
    """
    from unpaired.core.progress import terminal_width
    from unpaired.inference.info import describe

    text = describe(model, as_json=json)
    narrow = 0 if json or not sys.stdout.isatty() else terminal_width()
    lines = (textwrap.fill(line, narrow, subsequent_indent="  ") for line in text.splitlines()) if narrow else (text,)
    print("\n".join(lines))
