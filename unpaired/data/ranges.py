"""Black and white of each domain: which values of the files become -1 and 1, by `data.range`.

One rule holds for training, validation, evaluation and translation; the bundle keeps it. Files of 8 bits always use
their full scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import numpy as np

from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.imaging.images import Pixels
from unpaired.imaging.values import Domain, ValueRange, natural_range

Side = Literal["A", "B"]
SIDES: tuple[Side, Side] = ("A", "B")
SAMPLED = 256
"""Values of an image that enter the percentiles, evenly spaced."""
PERCENTILES = (0.1, 99.9)
FAR = 20
"""Times the usual span of an image's values beyond which an image is an outlier."""
MOSTLY_USED = 0.5
"""Unsigned values that reach this share of full scale, and floats within 0 to 1 that do, use full scale."""


@dataclass(frozen=True)
class Values:
    """The values of an image, or of all images of a domain."""

    dtype: str
    low: float
    high: float
    sample: np.ndarray


def values_of(pixels: Pixels) -> Values:
    """The extremes of an image and a sample of its values; empty for 8 bits, whose range is known."""
    if pixels.dtype == np.uint8:
        return Values("uint8", 0, 255, np.zeros(0, np.float32))
    flat = pixels.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLED)][:SAMPLED].astype(np.float32)
    return Values(pixels.dtype.name, float(pixels.min()), float(pixels.max()), sample)


def domain_of(cfg: DataConfig, side: Side) -> Domain:
    """How files of domain A or B become what the networks see.

    Raises:
        BadInput: `data.range_a` or `data.range_b` cannot be understood.
    """
    channels, text = (cfg.channels_a, cfg.range_a) if side == "A" else (cfg.channels_b, cfg.range_b)
    try:
        return Domain(channels, ValueRange.parse(text, f"data.range_{side.lower()}"), cfg.nodata)
    except ValueError as error:
        raise BadInput(str(error)) from error


def found_range(images: Iterable[Values], rule: str) -> ValueRange | None:
    """Black and white of a domain's images; None for the full scale of their type.

    Least and largest value of all but outliers, or percentiles. Full scale for `fixed`, and where unsigned values or
    floats from 0 to 1 reach half of it. Files of 8 bits have their own. Files of several other types have one range, as
    slices of one scanner with and without a rescale slope have; it is of floats.
    """
    every = [values for values in images if values.dtype != "uint8"]
    every = [values for values in every if not is_outlier(values, every)]  # one file in another unit must not decide
    types = {values.dtype for values in every}
    if not every or rule == "fixed" or (rule == "auto" and all(_reaches_full_scale(every, dtype) for dtype in types)):
        return None
    low, high = min(values.low for values in every), max(values.high for values in every)
    if rule == "percentile":
        low, high = (float(q) for q in np.percentile(np.concatenate([v.sample for v in every]), PERCENTILES))
    dtype = types.pop() if len(types) == 1 else "float32"
    return ValueRange(low, high, dtype) if high > low else None


def _reaches_full_scale(images: Sequence[Values], dtype: str) -> bool:
    """Whether the images of this type are of its full scale, as unsigned values and floats from 0 to 1 may be."""
    of_type = [values for values in images if values.dtype == dtype]
    low, high = min(values.low for values in of_type), max(values.high for values in of_type)
    white = natural_range(np.dtype(dtype)).white
    return dtype != "int16" and low >= 0 and white * MOSTLY_USED <= high <= white


def is_outlier(values: Values, images: Sequence[Values]) -> bool:
    """Whether an image's values are far from those of most others, as in another unit."""
    span = median(each.high - each.low for each in images)
    middle = median(each.low for each in images) + span / 2
    return 0 < span * FAR < max(abs(values.high - middle), abs(values.low - middle))


def clipped_share(images: Iterable[Values], values: ValueRange) -> float:
    """The share of the sampled values outside black and white."""
    samples = [each.sample for each in images if each.sample.size]
    return values.outside(np.concatenate(samples)) if samples else 0.0


def with_ranges(cfg: DataConfig, ranges: dict[str, str]) -> DataConfig:
    """The settings with black and white of A and B filled in; those that were given stay."""
    return replace(cfg, range_a=cfg.range_a or ranges.get("A", ""), range_b=cfg.range_b or ranges.get("B", ""))
