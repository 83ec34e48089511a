"""How far a distance between two sets of features would move with other images, told by halves of the sets.

A half drawn without replacement scatters about a mean as the whole set does over new images, without the repeated
images of a bootstrap, which distances between sets take for similarity. The halves' own level is not used: some
distances are larger with half the images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from unpaired.metrics.kid import SEED

if TYPE_CHECKING:
    from unpaired.metrics.fid import Features

    Numbers = dict[str, float]

HALVES = 20
"""Random halves of both sets."""
WIDE = 1.96
"""Deviations on each side of a 95 % interval."""


def half_widths(fake: Features, real: Features, score: Callable[[Features, Features], Numbers], least: int) -> Numbers:
    """For each number of `score` half the width of its 95 % interval; nothing where a half has fewer than `least` rows.

    Args:
        fake: Features of one set.
        real: Features of the other.
        score: Numbers of any two such sets.
        least: Rows that `score` needs of each.
    """
    draws = np.random.default_rng(SEED)
    if min(len(fake), len(real)) // 2 < least:
        return {}
    halves = []
    for _ in range(HALVES):
        drawn = [rows[draws.permutation(len(rows))[: len(rows) // 2]] for rows in (fake, real)]
        halves.append(score(*drawn))
    return {name: WIDE * float(np.std([half[name] for half in halves])) for name in halves[0]}
