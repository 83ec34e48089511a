"""One small separable filter, for SSIM and for the Laplacian pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def separable(x: Float[Tensor, "b c h w"], weights: Sequence[float]) -> Float[Tensor, "b c h2 w2"]:
    """Weighted sums down the columns, then along the rows, where the k weights are wholly inside: h - k + 1.

    Shifted sums: several times quicker on a busy CPU than a convolution of one channel.
    """
    return _along(_along(x, weights, 2), weights, 3)


def _along(x: Tensor, weights: Sequence[float], axis: int) -> Tensor:
    length = x.shape[axis] - len(weights) + 1
    total = x.narrow(axis, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], start=1):
        total.add_(x.narrow(axis, shift, length), alpha=weight)
    return total
