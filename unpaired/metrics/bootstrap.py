"""How far a number would move with other test images: percentile bootstrap intervals.

Images are drawn again with replacement, the number is taken of each draw, and the interval holds the middle 95 % of
them (Efron, Tibshirani, An Introduction to the Bootstrap, 1993, Ch. 13). It covers the choice of test images only,
not the luck of training: for that, train with several seeds.

Images that share content (tiles that overlap, frames of one film) are not independent: given `groups`, whole groups
are drawn, which widens the interval to what it should be (the block bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray

    Values = Float[NDArray[np.float64], "n"]
    """One number per image."""

LEVEL = 0.95
DRAWS = 2000
SEED = 0


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of the draws."""

    low: float
    high: float
    n: int
    """Images it rests on."""
    independent: int
    """Groups of images that share no content; n where every image is its own group."""


def mean_interval(values: Values, groups: Sequence[object] | None = None) -> Interval:
    """Interval of the mean of one number per image; see `ratio_interval`."""
    return ratio_interval(values, np.ones(len(values)), groups)


def ratio_interval(top: Values, bottom: Values, groups: Sequence[object] | None = None) -> Interval:
    """Interval of sum(top) / sum(bottom) with two numbers per image, as of a pooled IoU; the same at every call.

    Draws whose sum of `bottom` is zero have no value and are left out. With one image, or one of the `groups` that
    images belong to (each its own unless given), nothing can vary: both ends are the number itself.

    Raises:
        ValueError: no images, or lists of different lengths.
    """
    n = len(top)
    if n == 0 or len(bottom) != n or (groups is not None and len(groups) != n):
        lengths = f"{n}, {len(bottom)} and {'no groups' if groups is None else len(groups)}"
        raise ValueError(f"bootstrap: expected one entry per image in each list, and an image, got {lengths}")
    group = group_numbers(groups, n)
    parts = int(group.max()) + 1
    sums = np.stack([np.bincount(group, part, parts) for part in (np.asarray(top, float), np.asarray(bottom, float))])
    times_drawn = np.random.default_rng(SEED).multinomial(parts, np.full(parts, 1 / parts), size=DRAWS)
    tops, bottoms = sums @ times_drawn.T
    ratios = tops[bottoms != 0] / bottoms[bottoms != 0]
    if not ratios.size:
        return Interval(float("nan"), float("nan"), n, parts)
    low, high = np.percentile(ratios, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(float(low), float(high), n, parts)


def group_numbers(groups: Sequence[object] | None, n: int) -> NDArray[np.int64]:
    """Groups as numbers from 0 in order of appearance; each image its own where there are none."""
    if groups is None:
        return np.arange(n)
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
