"""Whether an image that was made tile by tile shows where the tiles meet."""

from __future__ import annotations

import numpy as np

from unpaired.imaging.images import Pixels

NEIGHBOURS = 2
"""Lines on each side of a border that it is compared with."""


def seam_score(pixels: Pixels, tile: int, period: int = 4) -> float:
    """Mean absolute step across the borders of tiles over that across lines close by: 1 without seams.

    The lines compared with lie one and two periods before and behind each border. So they show the same part of the
    image, and the same phase of a pattern that the network itself repeats: a generator's transposed convolutions
    have one of 4 pixels, its `multiple`, and every border of tiles falls on the same line of it.

    `pixels` is (h, w, c) of any type; tiles start at the upper left corner, and `period` must divide their side.

    Raises:
        ValueError: no border, or a tile that the period does not divide.
    """
    if tile % period or tile <= 2 * NEIGHBOURS * period:
        raise ValueError(f"a tile of {tile} pixels has no room for lines {period} apart beside its border")
    across, beside = [], []
    away = [n * period for n in range(-NEIGHBOURS, NEIGHBOURS + 1) if n]
    for axis in (0, 1):
        for border in range(tile, pixels.shape[axis] - NEIGHBOURS * period, tile):
            across.append(_step(pixels, border, axis))
            beside.append(np.mean([_step(pixels, border + offset, axis) for offset in away]))
    if not across:
        raise ValueError(f"no borders of tiles of {tile} pixels in an image of {pixels.shape[1]}x{pixels.shape[0]}")
    return float(np.sum(across) / np.sum(beside))


def _step(pixels: Pixels, line: int, axis: int) -> float:
    """Mean absolute difference between the rows (columns) `line` - 1 and `line`."""
    before, behind = (pixels.take(at, axis=axis).astype(np.float64) for at in (line - 1, line))
    return float(np.abs(behind - before).mean())
