"""Generators and critics, each with its own config. Networks know no losses."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from unpaired.models.init import init_normal
from unpaired.models.patchgan import PatchGAN, PatchGANConfig, PixelGAN, PixelGANConfig
from unpaired.models.resnet import ResNetConfig, ResNetGenerator
from unpaired.models.unet import UNetConfig, UNetGenerator

Network = TypeVar("Network", bound=nn.Module)
GeneratorConfig = ResNetConfig | UNetConfig
CriticConfig = PatchGANConfig | PixelGANConfig
Generator = ResNetGenerator | UNetGenerator
Critic = PatchGAN | PixelGAN

GENERATORS = {"resnet": ResNetGenerator, "unet": UNetGenerator}
CRITICS = {"patchgan": PatchGAN, "pixelgan": PixelGAN}


def build_generator(cfg: GeneratorConfig, channels: int, out_channels: int) -> Generator:
    """A freshly initialised generator from `channels` to `out_channels` image channels."""
    return _initialised(GENERATORS[cfg.name](cfg, channels, out_channels))


def build_critic(cfg: CriticConfig, channels: int) -> Critic:
    """A freshly initialised critic of images with `channels` channels."""
    return _initialised(CRITICS[cfg.name](cfg, channels))


def _initialised(network: Network) -> Network:
    init_normal(network)
    return network
