"""A generator as a graph that others can use without arithmetic: pixels in, pixels out, any size."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unpaired.inference.runtimes.facts import WHITE
from unpaired.models import Generator

Levels = Float[Tensor, "b h w c"]
"""Pixels from 0 to 255, channels last, not rounded."""


class PixelGraph(nn.Module):
    """Scaling, padding and cutting back around a generator, as `Translator` does them.

    Sizes are symbols when this is traced, so padding is an index computed by arithmetic, with no branch to take.
    """

    def __init__(self, network: Generator, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype
        self.size_multiple, self.min_size = network.size_multiple, network.min_size

    def forward(self, image: Levels) -> Levels:
        """(b, h, w, c) to (b, h, w, d), both from 0 to 255."""
        x = image.permute(0, 3, 1, 2) * (2 / WHITE) - 1
        height, width = x.shape[2:]
        tall, wide = self.grown(height), self.grown(width)
        mirrored = _fits(tall, height) & _fits(wide, width)
        x = x.index_select(2, _source(height, tall, mirrored)).index_select(3, _source(width, wide, mirrored))
        y = self.network(x.to(self.dtype)).float()
        levels = ((y + 1) * (WHITE / 2)).permute(0, 2, 3, 1)
        return levels[:, :height, :width]  # last: torch.export would ask which strides a later operation sees

    def grown(self, side: int) -> int:
        """The side after padding."""
        divisible = (side + self.size_multiple - 1) // self.size_multiple * self.size_multiple
        return cast(int, torch.sym_max(self.min_size, divisible))


def _fits(grown: int, side: int) -> Tensor:
    """Whether a side is long enough to be mirrored out: the mirror repeats all but the edge itself."""
    return torch.scalar_tensor(grown - side) < torch.scalar_tensor(side)


def _source(side: int, grown: int, mirrored: Tensor) -> Tensor:
    """Where each row (or column) of the padded image comes from: 0 1 2 3 2 1, or 0 1 1 1 where that is too short."""
    place, last = torch.arange(grown), side - 1
    return torch.where(mirrored, last - (place - last).abs(), place.clamp(max=last))
