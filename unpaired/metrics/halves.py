"""Interval of a distance between two sets of features under other images, from random halves of the sets.

A half drawn without replacement scatters about a mean as the whole set does over new images, without the repeated
images of a bootstrap, which distances between sets take for similarity. The halves' own level is not used: some
distances are larger with half the images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unpaired.metrics.bootstrap import WIDE
from unpaired.metrics.fid import Features
from unpaired.metrics.kid import SEED

HALVES = 20
"""Random halves of both sets."""


def half_widths(
    fake: Features, real: Features, score: Callable[[Features, Features], dict[str, float]], min_rows: int
) -> dict[str, float]:
    """Half the width of the 95 % interval of each number of `score`; empty where a half has fewer than `min_rows`."""
    if min(len(fake), len(real)) // 2 < min_rows:
        return {}
    draws, halves = np.random.default_rng(SEED), []
    for _ in range(HALVES):
        drawn = [rows[draws.permutation(len(rows))[: len(rows) // 2]] for rows in (fake, real)]
        halves.append(score(*drawn))
    return {name: WIDE * float(np.std([half[name] for half in halves], ddof=1)) for name in halves[0]}
