"""Kernel distances between two sets of features: KID, and CMMD when the features are CLIP's.

Squared maximum mean discrepancies: 0 for equal distributions. KID's estimate is unbiased, so it may be a little below.
For small test sets use KID, not FID.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unpaired.metrics.fid import Features
from unpaired.metrics.prdc import squared_distances

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0


@dataclass(frozen=True)
class KID:
    """The mean over subsets, their deviation, and the size each had."""

    mean: float
    std: float
    subset_size: int


def kernel_distance(fake: Features, real: Features, subset_size: int = SUBSET_SIZE) -> KID:
    """KID: the unbiased squared MMD with the kernel (x.y / d + 1)^3, averaged over random subsets.

    Subsets are no larger than the smaller set; the deviation tells how subsets differ, which shrinks to nothing as
    they come to hold the whole set, so it is no confidence interval.

    Raises:
        ValueError: fewer than two rows in a set.

    Source: Binkowski, Sutherland, Arbel, Gretton, Demystifying MMD GANs, ICLR 2018 (arXiv:1801.01401), Sec. 3.1. The
    draws are those of torch-fidelity's seed, so its numbers come out on the same features.
    """
    fake, real = np.asarray(fake, np.float64), np.asarray(real, np.float64)
    size = min(subset_size, len(fake), len(real))
    if size < 2:
        raise ValueError(f"kid: expected at least 2 rows in each set, got {len(fake)} and {len(real)}")
    draws = np.random.RandomState(SEED)  # noqa: NPY002
    found = [
        unbiased_mmd(fake[draws.choice(len(fake), size, False)], real[draws.choice(len(real), size, False)])
        for _ in range(SUBSETS)
    ]
    return KID(float(np.mean(found)), float(np.std(found)), size)


def unbiased_mmd(fake: Features, real: Features) -> float:
    """Squared MMD with the cubic kernel; pairs of an image with itself are left out.

    Source: Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012, Eq. 3.
    """
    m, n = len(fake), len(real)
    xx, yy, xy = cubic_kernel(fake, fake), cubic_kernel(real, real), cubic_kernel(fake, real)
    within = (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(within - 2 * xy.mean())


def cubic_kernel(x: Features, y: Features) -> NDArray[np.floating]:
    """(x.y / d + 1)^3 for every pair of rows."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def cmmd(fake: Features, real: Features) -> float:
    """1000 times the squared MMD with the kernel exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, on unit-length features.

    With the pooled features of CLIP ViT-L/14 at 336 px this is CMMD; the estimate is the biased, least-variance one.

    Source: Jayasumana, Ramalingam, Veit, Glasner, Chakrabarti, Kumar, Rethinking FID, CVPR 2024 (arXiv:2401.09603).
    """
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (fake.astype(float), real.astype(float)))
    mmd = _gaussian(x, x).mean() + _gaussian(y, y).mean() - 2 * _gaussian(x, y).mean()
    return float(CMMD_SCALE * mmd)


def _gaussian(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-squared_distances(x, y) / (2 * CMMD_SIGMA**2))
