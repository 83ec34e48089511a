"""Cycle consistency and identity: how far an image is from where it should be."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from unpaired.losses.adversarial import Scalar


def l1(image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Scalar:
    """Mean absolute difference; 0 to 2 for images in [-1, 1].

    Eq. 2 writes the L1 norm; the authors' code averages over pixels and channels, and lambda = 10 is meant so.
    """
    return (image - target).abs().mean()
