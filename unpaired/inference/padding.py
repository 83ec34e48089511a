"""Padding of images to sides that a network accepts. Importing this imports no torch."""

from __future__ import annotations

from typing import Literal

import numpy as np

from unpaired.imaging.images import Array


def padding(side: int, multiple: int, min_size: int = 1) -> int:
    """Pixels missing from a side to the next one that divides by `multiple` and is at least `min_size`."""
    return max(min_size - side, -side % multiple)


def padding_mode(sides: tuple[int, int], missing: tuple[int, int]) -> Literal["reflect", "replicate"]:
    """Reflection, or replication of the edge for an image too small to reflect."""
    return "reflect" if all(more < side for side, more in zip(sides, missing, strict=True)) else "replicate"


def pad_array(image: Array, size: tuple[int, int]) -> Array:
    """(c, h, w) padded at the bottom and the right to a height and a width, as the runtime pads it."""
    height, width = image.shape[1:]
    missing = size[0] - height, size[1] - width
    if not any(missing):
        return image
    mode = padding_mode((height, width), missing)
    return np.pad(image, ((0, 0), (0, missing[0]), (0, missing[1])), mode="reflect" if mode == "reflect" else "edge")
