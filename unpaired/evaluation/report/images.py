"""Images inside the page: as data URIs, small ones exactly, large ones brought down."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unpaired.imaging.images import OneImage, Pixels, read_image, to_pixels, to_tensor

EXACT_SIDE = 128
"""Images up to this side are embedded as they are, as PNG."""
LARGEST_SIDE = 240
"""Larger ones are brought down to this side, as WebP."""
GRID_BYTES = 60_000
"""A sample grid above this size is embedded as WebP."""
GRID_SIDE = 640
"""Longest side of an embedded grid of larger images."""


@dataclass(frozen=True)
class Embedded:
    """An image as a data URI, with its size in pixels, so that the page keeps its place before it is decoded."""

    uri: str
    width: int
    height: int


def embed(image: OneImage) -> Embedded:
    """An image in [-1, 1]; small ones exactly."""
    shown = Image.fromarray(_rgb(to_pixels(image)))
    if max(shown.size) <= EXACT_SIDE:
        return Embedded(_uri(shown, "PNG"), *shown.size)
    shown.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return Embedded(_uri(shown, "WEBP"), *shown.size)


def embed_grid(path: Path) -> Embedded:
    """A sample grid of the trainer's.

    Raises:
        BadInput: the file cannot be read.
    """
    pixels = read_image(path).pixels
    grid = Image.fromarray(_rgb(to_pixels(to_tensor(pixels))))
    size = grid.size
    grid.thumbnail((GRID_SIDE, GRID_SIDE))
    small = path.stat().st_size <= GRID_BYTES and grid.size == size
    return Embedded(_uri(grid, "PNG" if small else "WEBP"), *grid.size)


def _rgb(pixels: Pixels) -> Pixels:
    """Gray or two-channel images as gray, the first three of more channels as colours."""
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _uri(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 80} if kind == "WEBP" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
