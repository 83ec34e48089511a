"""How far a number would move with other test images: percentile bootstrap intervals.

Images are drawn again with replacement, the number is taken of each draw, and the interval holds the middle 95 % of
them (Efron, Tibshirani, An Introduction to the Bootstrap, 1993, Ch. 13). It covers the choice of test images only,
not the luck of training: for that, train with several seeds.

Images that share content (tiles that overlap, frames of one film) are not independent: given `groups`, whole groups
are drawn, which widens the interval to what it should be (the block bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray

    Values = Float[NDArray[np.float64], "n"]
    """One number per image."""

LEVEL, WIDE = 0.95, 1.96
"""Of an interval, and its deviations to either side of a normal value."""
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


@dataclass(frozen=True)
class Estimate:
    """A number of a test set, and the same number of other draws of its images.

    The difference of two estimates is taken draw by draw: draw k of both has the same images, where they come from the
    same images, groups and seed. What makes an image hard for both cancels, as in a paired test, so that a difference
    can be certain whose two intervals overlap.
    """

    value: float
    draws: NDArray[np.float64]
    """NaN where a draw has no value."""
    n: int
    independent: int
    normal: bool = False
    """The draws are half-samples (`metrics.swd`): the interval is `WIDE` deviations to either side of the value."""
    lowest: float = -math.inf
    """No interval reaches below it."""

    @property
    def interval(self) -> Interval:
        """95 %; NaN where no draw has a value."""
        known = self.draws[~np.isnan(self.draws)]
        if self.normal:
            reach = WIDE * float(known.std(ddof=1))
            low, high = self.value - reach, self.value + reach
        else:
            low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]) if known.size else (math.nan,) * 2
        return Interval(max(float(low), self.lowest), float(high), self.n, self.independent)

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference, draw by draw."""
        independent = min(self.independent, other.independent)
        return Estimate(self.value - other.value, self.draws - other.draws, self.n, independent, self.normal)


def mean(values: Values, groups: Sequence[object] | None = None) -> Estimate:
    """The mean of one number per image; see `ratio`."""
    return ratio(values, np.ones(len(values)), groups)


def ratio(top: Values, bottom: Values, groups: Sequence[object] | None = None) -> Estimate:
    """sum(top) / sum(bottom), as of a pooled IoU; without a value where the sum of `bottom` is zero.

    With one image, or one of the `groups` that images belong to (each its own unless given), nothing can vary: both
    ends of the interval are the number itself.

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
    # The last column is every image once: the number itself.
    tops, bottoms = sums @ np.vstack([times_drawn, np.ones((1, parts), int)]).T
    ratios = np.divide(tops, bottoms, out=np.full(DRAWS + 1, math.nan), where=bottoms != 0)
    return Estimate(float(ratios[-1]), ratios[:-1], n, parts)


def group_numbers(groups: Sequence[object] | None, n: int) -> NDArray[np.int64]:
    """Groups as numbers from 0 in order of appearance; each image its own where there are none."""
    if groups is None:
        return np.arange(n)
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
