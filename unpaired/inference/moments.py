"""Mean and variance of a plane whose parts are seen one after the other, in float64.

Parts are merged by the pairwise rule of Chan, Golub, LeVeque ("Updating formulae and a pairwise algorithm for computing
sample variances", 1979), in which nothing cancels: n = n_a + n_b, d = mean_b - mean_a,
mean = mean_a + d n_b / n, M2 = M2_a + M2_b + d^2 n_a n_b / n. The variance M2 / n is the biased one of InstanceNorm.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Moments = NDArray[np.float64]
"""(1 + 2c,): the number of pixels, then the mean and the sum of squared deviations of every channel."""


def moments(x: Tensor) -> Moments:
    """Of one part of a plane, (1, c, h, w): differences from its mean are summed in its precision, rows in float64."""
    values, count = x[0], x.shape[2] * x.shape[3]
    centre = values.mean((1, 2))
    away = values - centre[:, None, None]
    rows = away.sum(2), away.square_().sum(2)
    more, squares = (each.cpu().double().sum(1) for each in rows)  # MPS has no float64
    mean = centre.cpu().double() + more / count
    return np.concatenate([[count], mean.numpy(), (squares - more.square() / count).numpy()])


def merged(parts: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Mean and variance, (c,) each in float64, of all parts (n, 1 + 2c); the order decides the last bit, so keep it."""
    channels = parts.shape[1] // 2
    count, mean, squares = 0.0, np.zeros(channels), np.zeros(channels)
    for part in parts:
        more, away = part[0], part[1 : 1 + channels] - mean
        total = count + more
        mean = mean + away * (more / total)
        squares = squares + part[1 + channels :] + away**2 * (count * more / total)
        count = total
    return torch.from_numpy(mean), torch.from_numpy(squares / count)
