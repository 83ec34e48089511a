"""The discriminators: PatchGAN (70x70 by default) and PixelGAN (CycleGAN App. 7.2, pix2pix App. 6.1.2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from unpaired.config.networks import PatchGANConfig, PixelGANConfig
from unpaired.models.layers import BlurDown, has_bias, norm_layer


class PatchGAN(nn.Module):
    """C64-C128-C256-C512 and a convolution to one score per patch (App. 7.2).

    The last C has stride 1, as in the authors' code; the scores carry no sigmoid.
    """

    def __init__(self, cfg: PatchGANConfig, channels: int) -> None:
        super().__init__()
        width, blur = [cfg.width * min(2**n, 8) for n in range(cfg.layers + 1)], cfg.downsampling == "blur"

        def block(n: int) -> list[nn.Module]:
            halves = n < cfg.layers
            stride = 2 if halves and not blur else 1
            conv = nn.Conv2d(width[n - 1], width[n], 4, stride=stride, padding=1, bias=has_bias(cfg.norm))
            down = [BlurDown(width[n])] if halves and blur else []
            return [conv, norm_layer(cfg.norm, width[n]), nn.LeakyReLU(0.2, inplace=True), *down]

        self.model = nn.Sequential(
            nn.Conv2d(channels, width[0], 4, stride=1 if blur else 2, padding=1),
            *[nn.LeakyReLU(0.2, inplace=True), *([BlurDown(width[0])] if blur else [])],
            *[layer for n in range(1, cfg.layers + 1) for layer in block(n)],
            nn.Conv2d(width[-1], 1, 4, stride=1, padding=1),
        )
        self.batch_independent = cfg.norm != "batch"
        self.spectral_norm = cfg.spectral_norm  # read by `normalise_marked`

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 p q"]:
        """Raw scores, one per patch."""
        return self.model(x)


class PixelGAN(nn.Module):
    """One score per pixel, from that pixel's colour alone."""

    def __init__(self, cfg: PixelGANConfig, channels: int) -> None:
        super().__init__()
        w, bias = cfg.width, has_bias(cfg.norm)
        self.net = nn.Sequential(
            *[nn.Conv2d(channels, w, 1), nn.LeakyReLU(0.2, inplace=True)],
            *[nn.Conv2d(w, 2 * w, 1, bias=bias), norm_layer(cfg.norm, 2 * w), nn.LeakyReLU(0.2, inplace=True)],
            nn.Conv2d(2 * w, 1, 1, bias=bias),
        )
        self.batch_independent = cfg.norm != "batch"

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Raw scores, one per pixel."""
        return self.net(x)
