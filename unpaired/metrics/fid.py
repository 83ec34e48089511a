"""Frechet distance between two sets of features: FID, when the features are the field's Inception's.

Both sets are taken for Gaussians, and the distance is that of Wasserstein (2-) between them: 0 for equal means and
covariances, unbounded above, biased upwards for few images (by hundreds of images it still shrinks as n grows), so only
numbers of one n and one recipe compare.

Source: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, NeurIPS 2017 (arXiv:1706.08500), Eq. 6.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Features = Float[NDArray[np.floating], "n d"]
"""One row per image."""


def frechet_distance(fake: Features, real: Features) -> float:
    """|mean difference|^2 + tr(S_fake + S_real - 2 (S_fake S_real)^(1/2)).

    The last trace is taken without a matrix root: with centred rows A and B it is the sum of the singular values of
    A B^T, over sqrt((n_a - 1)(n_b - 1)), which is exact and stable also where fewer images than features leave the
    covariances singular.

    Raises:
        ValueError: fewer than two rows, or rows of different lengths.
    """
    a, b = (_centred(features) for features in (fake, real))
    if a[0].shape != b[0].shape:
        raise ValueError(f"fid: expected features of one length, got {a[0].size} and {b[0].size}")
    apart = float(np.square(a[0] - b[0]).sum())
    spread = sum(float(np.square(rows).sum()) for _, rows in (a, b))
    shared = np.linalg.svd(_condensed(a[1]) @ _condensed(b[1]).T, compute_uv=False).sum()
    return apart + spread - 2 * float(shared)


MEMORIZED = 0.1
"""Mean cosine distance to the nearest real image below which translations count as copies (the competition's)."""


def memorization_informed(fid: float, fake: Features, real: Features) -> float:
    """MiFID: FID over the distance to the nearest real image, where that distance indicates copies.

    The distance of a fake is 1 - |cosine| to its nearest real image; their mean divides FID where it is below
    `MEMORIZED`, so that handing out training images does not win. To find copies, `real` must be those trained on.

    Source: Bai, Lin, Raffel, Kan, On Training Sample Memorization: Lessons from Benchmarking Generative Modeling with a
    Large-scale Competition, KDD 2021 (arXiv:2106.03062), Sec. 3.2.
    """
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12) for rows in (fake, real))
    nearest = (1 - np.abs(a.astype(np.float64) @ b.astype(np.float64).T)).min(1)
    distance = float(nearest.mean())
    return fid / (distance + 1e-15) if distance < MEMORIZED else fid


def _centred(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean, and rows whose Gram matrix is the covariance (divided by n - 1)."""
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"fid: expected at least 2 rows of features, got {rows.shape}")
    mean = rows.mean(0)
    return mean, (rows - mean) / np.sqrt(len(rows) - 1)


def _condensed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most as many rows as columns, with the same Gram matrix."""
    return rows if rows.shape[0] <= rows.shape[1] else np.asarray(np.linalg.qr(rows, mode="r"), np.float64)
