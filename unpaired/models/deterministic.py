"""Layers whose gradient is the same bits each time on a GPU, where torch's adds in the order that threads arrive.

torch refuses the backward passes of reflection padding and of bilinear interpolation on CUDA under
`use_deterministic_algorithms`. Both are sums of shifted copies: written with slices, whose gradients have an order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReflectionPad(nn.ReflectionPad2d):
    """nn.ReflectionPad2d by flipped slices."""

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, h, w) to (b, c, h + top + bottom, w + left + right)."""
        left, right, top, bottom = self.padding
        return reflect(reflect(input, 3, left, right), 2, top, bottom)


class Double(nn.Upsample):
    """nn.Upsample to twice the size, bilinear with align_corners=False, by shifted sums."""

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, h, w) to (b, c, 2h, 2w)."""
        return double(double(input, 3), 2)


def reflect(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Mirror the edges of one dimension outwards, without the outermost line itself."""
    size = x.shape[dim]
    parts = [x.narrow(dim, 1, before).flip(dim), x, x.narrow(dim, size - 1 - after, after).flip(dim)]
    return torch.cat(parts, dim)


def double(x: Tensor, dim: int) -> Tensor:
    """Each line becomes two: three quarters of itself and a quarter of the neighbour on that side."""
    size = x.shape[dim]
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim)
    pairs = torch.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], dim + 1)
    return pairs.flatten(dim, dim + 1)


def make_deterministic(network: nn.Module) -> None:
    """Replace the layers that have a deterministic form; they have no weights, so no name of a weight changes."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.ReflectionPad2d:
                setattr(parent, name, ReflectionPad(layer.padding))  # pyright: ignore[reportArgumentType]
            elif type(layer) is nn.Upsample and (layer.mode, layer.scale_factor) == ("bilinear", 2.0):
                setattr(parent, name, Double(scale_factor=2, mode="bilinear", align_corners=False))
