"""Translating only a part of an image: what the others see of a translation, and what holds its background still."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from unpaired.losses.adversarial import Scalar

Masks = Float[Tensor, "b 1 h w"]
"""1 where an image is translated, 0 where it stays what it is; in proportion between."""


def inside(
    mask: Masks, translated: Float[Tensor, "b c h w"], original: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """The translation where m is 1, the original where it is 0, both to the bit: m * G(x) + (1 - m) * x."""
    return mask * translated + (1 - mask) * original


def background(mask: Masks, translated: Float[Tensor, "b c h w"], original: Float[Tensor, "b c h w"]) -> Scalar:
    """Mean of |(1 - m)(translated - original)| over all pixels and channels; 0 to 2 for images in [-1, 1]."""
    return ((1 - mask) * (translated - original)).abs().mean()
