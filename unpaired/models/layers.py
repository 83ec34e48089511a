"""The few layers that every network here is made of."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Norm = Literal["instance", "batch", "none"]
Padding = Literal["reflect", "zero"]
Upsampling = Literal["transposed", "resize"]


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


class ResizeConv(nn.Module):
    """Twice the size by bilinear interpolation, then a 3x3 convolution: no checkerboard.

    Replaces a stride-1/2 convolution whose kernel does not divide evenly by its stride
    (Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016).
    """

    def __init__(self, channels: int, out_channels: int, bias: bool) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.pad = nn.ReflectionPad2d(1)
        self.conv = nn.Conv2d(channels, out_channels, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, out_channels, 2h, 2w)."""
        return self.conv(self.pad(self.up(x)))
