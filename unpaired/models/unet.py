"""The U-Net generator of pix2pix (Isola et al. 2017, App. 6.1.1), an alternative to the ResNet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unpaired.config.networks import UNetConfig
from unpaired.models.layers import BlurConv, ConvBlur, Dropout, ResizeConv, has_bias, norm_layer


def down_conv(cfg: UNetConfig, channels: int, out_channels: int, bias: bool) -> nn.Module:
    """Half the size, by the published 4x4 stride-2 convolution or its replacement."""
    if cfg.downsampling == "blur":
        return ConvBlur(channels, out_channels, bias)
    return nn.Conv2d(channels, out_channels, 4, stride=2, padding=1, bias=bias)


def up_conv(cfg: UNetConfig, channels: int, out_channels: int, bias: bool) -> nn.Module:
    """Twice the size, by the published 4x4 stride-1/2 convolution or a replacement."""
    if cfg.upsampling != "transposed":
        return {"resize": ResizeConv, "blur": BlurConv}[cfg.upsampling](channels, out_channels, bias)
    return nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1, bias=bias)


class SkipBlock(nn.Module):
    """Down, an inner block, up; the result is laid beside the input."""

    def __init__(self, outer: int, width: int, inner: SkipBlock | None, cfg: UNetConfig, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(cfg.norm)
        down = down_conv(cfg, outer, width, bias)
        up = up_conv(cfg, 2 * width if inner else width, outer, bias)
        middle: list[nn.Module] = [norm_layer(cfg.norm, width), inner] if inner else []
        tail: list[nn.Module] = [Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(
            *[nn.LeakyReLU(0.2), down, *middle],
            *[nn.ReLU(inplace=True), up, norm_layer(cfg.norm, outer), *tail],
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, outer, h, w) to (b, 2 outer, h, w)."""
        # The published code activates x in place, so its skip carries the activated features: so does ours.
        first, *others = self.model
        x = y = first(x)
        for layer in others:
            y = layer(y)
        return torch.cat([x, y], dim=1)


class UNetGenerator(nn.Module):
    """U-Net on images in [-1, 1]; height and width must divide by 2 ** downs.

    Module names are those of the official PyTorch code (`model.model.1.model...`); with "blur" or "resize" a chain of
    layers has the place of the convolution that it replaces. With `image_skip` the last convolution sees the image
    beside the features: without it the finest detail has to come through features of half its size.
    """

    def __init__(self, cfg: UNetConfig, channels: int, out_channels: int) -> None:
        super().__init__()
        w = cfg.width
        block = SkipBlock(8 * w, 8 * w, None, cfg, dropout=False)
        for _ in range(cfg.downs - 5):
            block = SkipBlock(8 * w, 8 * w, block, cfg, dropout=cfg.dropout)
        for outer, width in ((4 * w, 8 * w), (2 * w, 4 * w), (w, 2 * w)):
            block = SkipBlock(outer, width, block, cfg, dropout=False)
        first = down_conv(cfg, channels, w, bias=has_bias(cfg.norm))
        up = up_conv(cfg, 2 * w + channels * cfg.image_skip, out_channels, bias=True)
        tail, last = [up, nn.Tanh()], None
        if cfg.image_skip:
            resize, *convolution = up.children()
            tail, last = [resize], nn.Sequential(*convolution, nn.Tanh())
        self.model = nn.Sequential(OrderedDict(model=nn.Sequential(first, block, nn.ReLU(inplace=True), *tail)))
        self.last = last
        self.encoder = {0: channels, 1: w, 2: 2 * w, 3: 4 * w, 4: 8 * w}
        """Scales whose features contrastive losses compare, with their channels: 0 is the image, k the output of the
        k-th convolution down, at 2**-k of the size."""
        self.size_multiple = self.min_size = 2**cfg.downs
        self.batch_independent = cfg.norm != "batch"

    def start_as_copy(self) -> None:
        """With `image_skip`, let the last convolution begin with each pixel's own colour, beside the features.

        From N(0, 0.02) its few weights of the image would take thousands of Adam's steps to grow.
        """
        for convolution in self.last or ():
            if isinstance(convolution, nn.Conv2d):
                nn.init.dirac_(convolution.weight.data[:, -self.encoder[0] :])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Translate a batch."""
        return self.last(torch.cat([self.model(x), x], dim=1)) if self.last else self.model(x)

    def features(self, x: Float[Tensor, "b c h w"], layers: Collection[int]) -> list[Tensor]:
        """Features of the encoder at these scales, 0 to 4 as in `encoder`, in order; the pass ends at the last one."""
        found = [x] if 0 in layers else []
        first, block, *_ = self.model[0].children()
        x = first(x)
        found += [x] if 1 in layers else []
        for scale in range(2, max(layers) + 1):
            assert isinstance(block, SkipBlock)
            x = block.model[1](block.model[0](x))  # activation, convolution
            found += [x] if scale in layers else []
            x, block = block.model[2](x), block.model[3]  # norm, inner block
        return found
