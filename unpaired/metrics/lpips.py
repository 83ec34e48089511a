"""LPIPS: perceptual distance of two images in the features of a classification network.

The maps of five layers are brought to unit length at every place, their squared differences weighted channel by
channel with weights learned from human judgements, averaged over places and summed over layers.
0 for equal images; about 0.1 is a faint, 0.6 a large difference.

Source: Zhang, Isola, Efros, Shechtman, Wang, CVPR 2018 (arXiv:1801.03924), Eq. 1; version 0.1 of its code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.metrics.paired import PerImage

Maps = Sequence[Float[Tensor, "n c h w"]]
"""One batch of maps per layer; layers differ in size and channels."""
Heads = Sequence[Float[Tensor, " c"]]
"""A weight for each channel of each layer."""


def lpips(maps: Maps, other: Maps, heads: Heads) -> PerImage:
    """The distance of each pair of images, from their maps."""
    squares = [(_unit(a) - _unit(b)).square() for a, b in zip(maps, other, strict=True)]
    layers = [(each * head[:, None, None]).sum(1).mean((1, 2)) for each, head in zip(squares, heads, strict=True)]
    return torch.stack(layers).sum(0)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
