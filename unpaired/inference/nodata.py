"""Pixels without data in an image on disk: found, and filled with the median of the others, as in memory.

`imaging.pixels.marked` is the rule; here it is applied band by band, so that memory does not grow with the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Pixels
from unpaired.imaging.pixels import without_data
from unpaired.imaging.values import ValueRange

HIGH, LOW = 1 << 16, 0xFFFF
Bands = Callable[[], Iterator[Pixels]]
"""The colours of an image, (rows, w, c), from top to bottom."""


@dataclass(frozen=True)
class Gaps:
    """Which value marks pixels without data, and what they are filled with."""

    value: float
    """May be NaN."""
    fill: tuple[float, ...]
    """The median of each channel over the other pixels."""


def find_gaps(bands: Bands, values: tuple[float | None, ...]) -> Gaps | None:
    """Pixels without data by the first of `values` that marks some; None where there are none.

    `values` are the file's value (NaN if it has none) and that of the settings. Raises BadInput if no pixel has data.
    """
    is_float = next(bands()).dtype.kind == "f"
    for value in values:
        if value is None or (np.isnan(value) and not is_float):
            continue
        some, every = False, True
        for band in bands():
            where = without_data(band, value)
            some, every = some or bool(where.any()), every and bool(where.all())
        if every:
            raise BadInput("no pixel has data; remove it")
        if some:
            return Gaps(value, median(bands, value))
    return None


def median(bands: Bands, value: float) -> tuple[float, ...]:
    """The exact median of each channel over the pixels with data, in two passes over the upper and lower 16 bits."""
    first = next(bands())
    dtype, channels = first.dtype, first.shape[2]
    upper, lower = np.zeros((channels, HIGH), np.int64), np.zeros((channels, 2, HIGH), np.int64)
    for keys in (_keys(band[~without_data(band, value)]) for band in bands()):
        for channel in range(channels):
            upper[channel] += np.bincount(keys[:, channel] >> 16, minlength=HIGH)
    below, count = upper.cumsum(axis=1), int(upper[0].sum())
    ranks = ((count - 1) // 2, count // 2)
    buckets = np.array([[np.searchsorted(each, rank, side="right") for rank in ranks] for each in below])
    for keys in (_keys(band[~without_data(band, value)]) for band in bands()):
        for channel, place in np.ndindex(channels, 2):
            inside = keys[:, channel] >> 16 == buckets[channel, place]
            lower[channel, place] += np.bincount(keys[inside, channel] & LOW, minlength=HIGH)
    middle = np.zeros((channels, 2), np.uint32)
    for channel, place in np.ndindex(channels, 2):
        bucket = buckets[channel, place]
        rest = ranks[place] - (below[channel, bucket] - upper[channel, bucket])
        found = np.searchsorted(lower[channel, place].cumsum(), rest, side="right")
        middle[channel, place] = (bucket << 16) + found
    return tuple(float(np.median(pair).astype(dtype)) for pair in _values(middle, dtype))


def _keys(pixels: Pixels) -> NDArray[np.uint32]:
    """Unsigned numbers in the order of the values."""
    if pixels.dtype.kind == "f":
        bits = (pixels + np.float32(0)).astype(np.float32).view(np.uint32)  # -0 becomes 0
        return np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
    return ((pixels.astype(np.int64) - np.iinfo(pixels.dtype).min) << 16).astype(np.uint32)


def _values(keys: NDArray[np.uint32], dtype: np.dtype) -> NDArray:
    """The inverse of `_keys`."""
    if dtype.kind == "f":
        return np.where(keys >> 31 == 1, keys & np.uint32((1 << 31) - 1), ~keys).view(np.float32)
    return ((keys >> 16).astype(np.int64) + np.iinfo(dtype).min).astype(dtype)


def filled(pixels: Pixels, where: NDArray[np.bool_], gaps: Gaps) -> Pixels:
    """Pixels with the fill where there is no data."""
    return np.where(where[..., None], np.array(gaps.fill).astype(pixels.dtype), pixels)


def share_outside(bands: Bands, gaps: Gaps | None, values: ValueRange) -> float:
    """The share of values below black or above white, pixels without data filled."""
    outside, count = 0.0, 0
    for band in bands():
        pixels = band if gaps is None else filled(band, without_data(band, gaps.value), gaps)
        outside, count = outside + values.outside(pixels) * pixels.size, count + pixels.size
    return outside / count
