"""Coupled generators (Liu and Tuzel, NIPS 2016, arXiv:1606.07536) and encoders that find their latents.

The latent is a grid with one vector for every cell of 2^halvings pixels a side, so that images of any size have one;
an image of a single cell has the published single vector.
"""

from __future__ import annotations

from torch import nn

from unpaired.config.networks import CoupledConfig
from unpaired.models.layers import norm_layer


def widths(cfg: CoupledConfig) -> list[int]:
    """Feature maps at half the size, a quarter, ..., down to the latent grid."""
    return [cfg.width * min(2**n, 8) for n in range(cfg.halvings)]


def shared_layers(cfg: CoupledConfig) -> nn.Sequential:
    """Latent grid (b, latent, h, w) to features at half the size of the images: the part with tied weights."""
    sizes = widths(cfg)[::-1]
    layers: list[nn.Module] = [nn.Conv2d(cfg.latent, sizes[0], 3, padding=1)]
    layers += [norm_layer(cfg.norm, sizes[0]), nn.ReLU(inplace=True)]
    for width, narrower in zip(sizes, sizes[1:], strict=False):
        layers += [nn.ConvTranspose2d(width, narrower, 4, stride=2, padding=1)]
        layers += [norm_layer(cfg.norm, narrower), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def own_layers(cfg: CoupledConfig, channels: int) -> nn.Sequential:
    """Features at half the size to an image in [-1, 1]: what each domain has for itself."""
    return nn.Sequential(nn.ConvTranspose2d(cfg.width, channels, 4, stride=2, padding=1), nn.Tanh())


def encoder(cfg: CoupledConfig, channels: int) -> nn.Sequential:
    """Image to latent grid in [-1, 1]: the generator's convolutions the other way round."""
    sizes = widths(cfg)
    layers: list[nn.Module] = [nn.Conv2d(channels, sizes[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
    for width, wider in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Conv2d(width, wider, 4, stride=2, padding=1), norm_layer(cfg.norm, wider)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(sizes[-1], cfg.latent, 3, padding=1), nn.Tanh())


class Rendering(nn.Sequential):
    """The latent of an image of one domain, rendered in the other."""

    def __init__(self, cfg: CoupledConfig, find: nn.Module, shared: nn.Module, own: nn.Module) -> None:
        super().__init__(find, shared, own)
        self.size_multiple = self.min_size = 2**cfg.halvings
        self.batch_independent = cfg.norm != "batch"
