"""Fidelity and variety apart: precision, recall, density and coverage of a set of features.

The real set's manifold is the union of balls around its images, each reaching to its k-th nearest neighbour.
Precision and density count the fakes inside it, coverage the part that they reach, recall the reverse of precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unpaired.metrics.fid import Features

NEIGHBOURS = 5


@dataclass(frozen=True)
class PRDC:
    """All from 0 up to 1, but density, which may exceed it."""

    precision: float
    """Share of fakes within some real image's ball."""
    recall: float
    """Share of real images within some fake's ball."""
    density: float
    """Mean number of real balls that contain a fake, over k: less sensitive to outliers than precision."""
    coverage: float
    """Share of real balls that hold a fake."""


def prdc(fake: Features, real: Features, k: int = NEIGHBOURS) -> PRDC:
    """The four numbers with the k nearest neighbours.

    Raises:
        ValueError: not more than k rows in a set.

    Source: Kynkaanniemi, Karras, Laine, Lehtinen, Aila, NeurIPS 2019 (arXiv:1904.06991), Eq. 1-2, for the first two;
    Naeem, Oh, Uh, Choi, Yoo, ICML 2020 (arXiv:2002.09797), Eq. 3-4, for the last two.
    """
    fake, real = np.asarray(fake, np.float64), np.asarray(real, np.float64)
    if min(len(fake), len(real)) <= k:
        raise ValueError(f"prdc: expected more than {k} rows in each set, got {len(fake)} and {len(real)}")
    apart = distances(real, fake)
    in_real = apart < radii(real, k)[:, None]
    in_fake = apart < radii(fake, k)
    return PRDC(
        precision=float(in_real.any(0).mean()),
        recall=float(in_fake.any(1).mean()),
        density=float(in_real.sum(0).mean() / k),
        coverage=float(in_real.any(1).mean()),
    )


def radii(rows: Features, k: int) -> NDArray[np.float64]:
    """Distance of each row to its k-th nearest other row."""
    return np.partition(distances(rows, rows), k, axis=1)[:, k]  # place 0 is the row itself


def distances(x: Features, y: Features) -> NDArray[np.float64]:
    """Euclidean distances of every row of x to every row of y."""
    return np.sqrt(np.maximum(squared_distances(x, y), 0))


def squared_distances(x: Features, y: Features) -> NDArray[np.float64]:
    """The squares of `distances` by the expanded formula, which may round to a little below 0."""
    return np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
