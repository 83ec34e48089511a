"""Baselines without a network: the scores that a translation must exceed.

- copy: the input as it is.
- mean colour: every pixel in the mean colour of the target's training set. Mean error alone hardly separates a poor
  translation from it.
- histogram matching: each channel's levels replaced so that the training set of A gets the histogram of that of B.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unpaired.imaging.images import LUMA, Images
from unpaired.metrics.paired import WHITE, levels

Colour = Float[Tensor, "c"]
Histogram = Int[Tensor, "c 256"]
"""Pixels of each 8-bit level, per channel."""
Table = Float[Tensor, "c 256"]
"""For each level the level that replaces it."""
LEVELS = 256


def histogram(images: Images) -> Histogram:
    """Pixels of each 8-bit level, per channel; the histograms of several batches add up to their set's."""
    channels = levels(images).long().transpose(0, 1).flatten(1)
    return torch.stack([torch.bincount(values, minlength=LEVELS) for values in channels])


def mean_colour(target: Histogram) -> Colour:
    """The mean of every pixel behind a histogram, in [-1, 1]."""
    share = target.double() / target.sum(1, keepdim=True)
    return ((share * torch.arange(LEVELS)).sum(1) / (WHITE / 2) - 1).float()


def matching_table(source: Histogram, target: Histogram) -> Table:
    """For each level v of the source the least level w of the target with CDF_target(w) >= CDF_source(v).

    Exact on 8-bit levels: a set matched to its own histogram stays as it is.

    Raises:
        ValueError: different numbers of channels.

    Source: Gonzalez, Woods, Digital Image Processing, Sec. 3.3, histogram specification.
    """
    if source.shape != target.shape:
        raise ValueError(f"matching_table: {source.shape[0]} channels against {target.shape[0]}")
    # Whole numbers, each CDF times the other's total: equal shares stay equal, which floats would not promise.
    rising_source = source.cumsum(1) * target.sum(1, keepdim=True)
    rising_target = target.cumsum(1) * source.sum(1, keepdim=True)
    return torch.searchsorted(rising_target, rising_source).clamp(max=LEVELS - 1).float()


def apply_table(images: Images, table: Table) -> Images:
    """Replace every level by its entry in the table; in [-1, 1] again."""
    index = levels(images).long()
    matched = torch.stack([row[index[:, channel]] for channel, row in enumerate(table)], dim=1)
    return matched / (WHITE / 2) - 1


def match_channels(images: Images, channels: int) -> Images | None:
    """Gray repeated, colour as luminance, equal counts as they are; None where it would be a guess."""
    have = images.shape[1]
    if have == channels:
        return images
    if have == 1:
        return images.expand(-1, channels, -1, -1)
    if (have, channels) == (3, 1):
        return torch.einsum("bchw,c->bhw", images, torch.from_numpy(LUMA)).unsqueeze(1)
    return None
