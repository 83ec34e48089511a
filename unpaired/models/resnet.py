"""The paper's generator: Johnson et al.'s residual network (CycleGAN App. 7.2)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unpaired.config.networks import ResNetConfig
from unpaired.models.layers import BlurDown, BlurUp, Dropout, ResizeConv, has_bias, norm_layer


class ResidualBlock(nn.Module):
    """x + Conv3-Norm-ReLU-Conv3-Norm(x); nothing after the sum."""

    def __init__(self, channels: int, cfg: ResNetConfig) -> None:
        super().__init__()
        padding = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d}.get(cfg.padding)

        def conv() -> list[nn.Module]:
            inner = nn.Conv2d(channels, channels, 3, padding=0 if padding else 1, bias=has_bias(cfg.norm))
            pad: list[nn.Module] = [padding(1)] if padding else []
            return [*pad, inner, norm_layer(cfg.norm, channels)]

        dropout: list[nn.Module] = [Dropout(0.5)] if cfg.dropout else []
        self.conv_block = nn.Sequential(*conv(), nn.ReLU(inplace=True), *dropout, *conv())
        self.is_leaf = False
        """Whether the block is one operation of the network: with it, its inside is computed again for the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        if not self.is_leaf or not torch.is_grad_enabled():
            return x + self.conv_block(x)
        layers = [layer for layer in self.conv_block if isinstance(layer, Dropout)]

        def inside(x: Tensor, *noise: Tensor | None) -> Tensor:
            for layer, given in zip(layers, noise, strict=True):
                layer.given = given
            try:
                return self.conv_block(x)
            finally:
                for layer in layers:
                    layer.given = None

        # the noise is drawn outside, since a CUDA graph cannot set random states back for the second pass
        noise = [layer.draw(x) for layer in layers]
        return x + checkpoint(inside, x, *noise, use_reentrant=False, preserve_rng_state=False)  # pyright: ignore


def checkpoint_blocks(network: nn.Module) -> None:
    """Residual blocks keep only their input from now on; the gradient is the same, bit for bit."""
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            module.is_leaf = True


def keeps_blocks(network: nn.Module) -> bool:
    """Whether there are residual blocks that `checkpoint_blocks` would make smaller."""
    return any(isinstance(module, ResidualBlock) and not module.is_leaf for module in network.modules())


class ResNetGenerator(nn.Module):
    """c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-3 (CycleGAN App. 7.2).

    Maps images in [-1, 1] to images in [-1, 1] of the same size; height and width must divide by 4.
    Module indices are those of the official PyTorch code, and with "blur" those of CUT, so their weights load.
    """

    def __init__(self, cfg: ResNetConfig, channels: int, out_channels: int) -> None:
        super().__init__()
        w, norm, bias = cfg.width, cfg.norm, has_bias(cfg.norm)

        def down(c: int, out: int) -> list[nn.Module]:
            blur: list[nn.Module] = [BlurDown(out)] if cfg.downsampling == "blur" else []
            conv = nn.Conv2d(c, out, 3, stride=1 if blur else 2, padding=1, bias=bias)
            return [conv, norm_layer(norm, out), nn.ReLU(inplace=True), *blur]

        def up(c: int, out: int) -> list[nn.Module]:
            layers: dict[str, list[nn.Module]] = {
                "transposed": [nn.ConvTranspose2d(c, out, 3, stride=2, padding=1, output_padding=1, bias=bias)],
                "resize": [ResizeConv(c, out, bias)],
                "blur": [BlurUp(c), nn.Conv2d(c, out, 3, padding=1, bias=bias)],
            }
            return [*layers[cfg.upsampling], norm_layer(norm, out), nn.ReLU(inplace=True)]

        self.model = nn.Sequential(
            *[nn.ReflectionPad2d(3), nn.Conv2d(channels, w, 7, bias=bias)],
            *[norm_layer(norm, w), nn.ReLU(inplace=True)],
            *[*down(w, 2 * w), *down(2 * w, 4 * w)],
            *[ResidualBlock(4 * w, cfg) for _ in range(cfg.blocks)],
            *[*up(4 * w, 2 * w), *up(2 * w, w)],
            *[nn.ReflectionPad2d(3), nn.Conv2d(w, out_channels, 7), nn.Tanh()],
        )
        stage = 4 if cfg.downsampling == "blur" else 3
        self.encoder = {0: channels, 4: 2 * w, 4 + stage: 4 * w}
        self.encoder |= {4 + 2 * stage + k: 4 * w for k in (0, 4) if k < cfg.blocks}
        """Layers whose outputs contrastive losses compare, with their channels: the padded input, both convolutions
        that halve the size, the first and the fifth block (CUT, arXiv:2007.15651, App. C)."""
        self.size_multiple = 4
        self.min_size = 8
        """Residual blocks reflect and normalise at a quarter of the size."""
        self.batch_independent = norm != "batch"

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Translate a batch."""
        return self.model(x)

    def features(self, x: Float[Tensor, "b c h w"], layers: Collection[int]) -> list[Tensor]:
        """Outputs of the layers with these indices in `model`, in order; the pass ends at the last of them."""
        found = []
        for index, layer in enumerate(list(self.model)[: max(layers) + 1]):
            # not in place, which would change an output that was taken before the activation
            x = torch.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if index in layers:
                found.append(x)
        return found
