"""The few layers that every network here is made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from unpaired.config.networks import Norm
from unpaired.models.spatial import Convolve, Expand, Rule, rules_of


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """One normalisation layer; "none" keeps its place so that later modules keep their index.

    InstanceNorm has no affine part and no running statistics, as in the official PyTorch code, so a
    network behaves the same in training and evaluation.
    """
    if norm == "instance":
        return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def has_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm carries a bias: the official code's rule."""
    return norm == "instance"


@contextmanager
def fixed_statistics(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Inside, BatchNorm normalises by the batch as before, but its running mean and variance stay as they are."""
    norms = [
        m for network in networks.values() for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


class ResizeConv(nn.Sequential):
    """Twice the size by bilinear interpolation, then a 3x3 convolution: no checkerboard.

    Replaces a stride-1/2 convolution whose kernel does not divide evenly by its stride
    (Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016).
    """

    def __init__(self, channels: int, out_channels: int, bias: bool) -> None:
        """(b, channels, h, w) to (b, out_channels, 2h, 2w)."""
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        conv = nn.Conv2d(channels, out_channels, 3, bias=bias)
        super().__init__(OrderedDict(up=up, pad=nn.ReflectionPad2d(1), conv=conv))


class BlurDown(nn.Module):
    """Half the size without aliasing: a 3x3 binomial blur at stride 2 (Zhang, ICML 2019), as in CUT's generator."""

    is_leaf = True
    """One operation of a network, though it is made of others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.register_buffer("filt", _binomial((1.0, 2.0, 1.0)).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, channels, h / 2, w / 2)."""
        return conv2d(self.pad(x), self.get_buffer("filt"), stride=2, groups=x.shape[1])

    def spatial_rules(self) -> list[Rule]:
        """The mirrored border, then every second place of a convolution."""
        blur = self.get_buffer("filt")
        return [*rules_of(self.pad), Convolve(blur, None, (2, 2), (0, 0), groups=len(blur))]


class BlurUp(nn.Module):
    """Twice the size by zero insertion and a 4x4 binomial blur, as in CUT's generator: no checkerboard."""

    is_leaf = True
    """One operation of a network, though it is made of others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = nn.ReplicationPad2d(1)
        self.register_buffer("filt", 4 * _binomial((1.0, 3.0, 3.0, 1.0)).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, channels, 2h, 2w)."""
        wide = conv_transpose2d(self.pad(x), self.get_buffer("filt"), stride=2, padding=2, groups=x.shape[1])
        return wide[:, :, 1:-1, 1:-1]

    def spatial_rules(self) -> list[Rule]:
        """The repeated border, then a transposed convolution less its padding of 2 and the pixel that is cut off."""
        blur = self.get_buffer("filt")
        return [*rules_of(self.pad), Expand(blur, None, (2, 2), (3, 3), groups=len(blur))]


def _binomial(row: tuple[float, ...]) -> Tensor:
    """The separable filter of a row of Pascal's triangle, (n, n), summing to 1."""
    weights = torch.tensor(row)
    kernel = torch.outer(weights, weights)
    return kernel / kernel.sum()
