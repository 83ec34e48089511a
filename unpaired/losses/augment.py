"""DiffAugment: what a discriminator is shown is augmented, real images and translations alike, differentiably.

Source: Zhao, Liu, Lin, Zhu, Han, "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020
(arXiv:2006.10738), with the ranges of the authors' code.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.core.device import without_autocast

NUMBERS = 7
"""Uniform in [0, 1), per image: brightness, saturation, contrast, shift down and right, cutout row and column."""
SHIFT = 1 / 8
"""Largest translation, of a side."""
CUTOUT = 1 / 2
"""Side of the square that is cut out, of the image's side."""


def draw_numbers(count: int, random: torch.Generator) -> Float[Tensor, "b 7"]:
    """The random numbers of `count` images."""
    return torch.rand(count, NUMBERS, generator=random)


def augment(
    images: Float[Tensor, "b c h w"], numbers: Float[Tensor, "b 7"], policy: Collection[str]
) -> Float[Tensor, "b c h w"]:
    """Colour, translation and cutout, those of the policy in this order; no value is read from the device.

    Images are in [-1, 1] and count as 0 outside of the frame; `numbers` are from `draw_numbers`, a row per image.
    """
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    amounts = numbers.to(images.dtype)
    out = images
    with without_autocast(images.device):
        if "colour" in policy:
            out = recolour(out, amounts[:, :3])
        if "translation" in policy:
            out = translate(out, amounts[:, 3:5])
        if "cutout" in policy:
            out = cut_out(out, amounts[:, 5:])
    return out.contiguous(memory_format=torch.channels_last) if channels_last else out


def recolour(images: Tensor, amounts: Float[Tensor, "b 3"]) -> Tensor:
    """Brightness -0.5 to 0.5 is added; saturation is multiplied by 0 to 2, then contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = amounts[:, :, None, None, None].unbind(1)
    images = images + (brightness - 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + 2 * saturation * (images - gray)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (images - mean)


def translate(images: Tensor, amounts: Float[Tensor, "b 2"]) -> Tensor:
    """Shifted by whole pixels, up to an eighth of a side either way."""
    rows, columns = (_shift(amounts[:, k], images.shape[2 + k]) for k in range(2))
    return rows[:, None] @ images @ columns[:, None].transpose(2, 3)


def cut_out(images: Tensor, amounts: Float[Tensor, "b 2"]) -> Tensor:
    """A rectangle of half the height and width becomes 0; its centre is anywhere, so that the frame may clip it."""
    rows, columns = (_band(amounts[:, k], images.shape[2 + k]) for k in range(2))
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _shift(amounts: Float[Tensor, " b"], side: int) -> Float[Tensor, "b side side"]:
    """Matrices that move a side's pixels, 0 where nothing moves in. Their gradient is summed in a fixed order."""
    largest = int(side * SHIFT + 0.5)
    shift = (amounts * (2 * largest + 1)).floor() - largest
    place = torch.arange(side, device=amounts.device)
    return (place[:, None] - place[None, :] == shift[:, None, None]).to(amounts.dtype)


def _band(amounts: Float[Tensor, " b"], side: int) -> Tensor:
    """Which places of a side are cut out, (b, side)."""
    size = int(side * CUTOUT + 0.5)
    first = (amounts * (side + 1 - size % 2)).floor()[:, None] - size // 2
    place = torch.arange(side, device=amounts.device)
    return (place >= first) & (place < first + size)
