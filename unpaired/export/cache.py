"""Exports that translating made for itself, kept by the bundle's content, so that each is made once."""

from __future__ import annotations

import os
from pathlib import Path

from unpaired.config import Direction
from unpaired.core.files import file_sha256
from unpaired.export.formats import SUFFIX, Format
from unpaired.runtimes.facts import FORMAT, Precision


def found(bundle: Path, direction: Direction, format: Format, precision: Precision) -> Path | None:
    """The export of this very bundle, if there is one."""
    path = _place(bundle, direction, format, precision)
    return path if path.is_file() else None


def made(bundle: Path, direction: Direction, format: Format, precision: Precision) -> Path:
    """The export of this very bundle, made and checked if it was not there.

    Raises:
        BadInput: it cannot be made, or is not right.
    """
    from unpaired.export import export

    path = _place(bundle, direction, format, precision)
    return path if path.is_file() else export(bundle, path, format, precision, direction)


def _place(bundle: Path, direction: Direction, format: Format, precision: Precision) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "unpaired" / "exports" / f"{file_sha256(bundle)[:32]}-{FORMAT}"
    return folder / f"{direction}-{precision}{SUFFIX[format]}"
