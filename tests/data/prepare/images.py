"""Small image files for the tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def png(number: int, size: int = 4) -> bytes:
    """A PNG that differs from that of every other number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def tree(root: Path) -> dict[str, bytes]:
    """Every file under `root` by its path."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
