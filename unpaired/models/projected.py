"""A discriminator of features: a frozen ImageNet network, random projections, and a small head on each scale.

Frozen features of four depths are mixed by random 1x1 convolutions, which are not trained either; a head of three
convolutions with spectral norm then scores each. Such a discriminator needs few images. It hardly depends on absolute
colour: take it beside a PatchGAN without norm (`JointConfig`).

Source: Sauer, Chitta, Mueller, Geiger, "Projected GANs Converge Faster", NeurIPS 2021 (arXiv:2111.01007). Mixed across
channels only (CCM), not across scales (CSM).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from unpaired.config.networks import ProjectedConfig
from unpaired.core.device import without_autocast
from unpaired.features import lite0_file, load_lite0
from unpaired.features.efficientnet import EfficientNetLite0, as_input, without_norms

BLOCKS = {2: 24, 4: 40, 10: 112, 15: 320}
"""EfficientNet-Lite0's blocks whose outputs are scored, at strides 4, 8, 16 and 32, and their channels."""


class Outputs(tuple[Tensor, ...]):
    """One map of scores (b, 1, p, q) per output; converted and split along the batch like a single tensor."""

    def float(self) -> Outputs:
        """Every map in fp32."""
        return Outputs(scores.float() for scores in self)

    def split(self, sizes: Sequence[int]) -> list[Outputs]:
        """The maps of consecutive parts of the batch."""
        return [Outputs(parts) for parts in zip(*(scores.split(list(sizes)) for scores in self), strict=True)]


class ProjectedDiscriminator(nn.Module):
    """Four maps of raw scores, one per depth of the frozen network."""

    batch_independent = True

    def __init__(self, cfg: ProjectedConfig, channels: int) -> None:
        """Fresh heads.

        Raises:
            ValueError: images that are neither gray nor RGB.
            BadInput: the weights of EfficientNet-Lite0 are not installed.
        """
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"method.discriminator: projected takes images of 1 or 3 channels, got {channels}")
        self.side = cfg.side
        for block, projection in projections(cfg.width).items():
            self.register_buffer(f"projection{block}", projection)
        self.heads = nn.ModuleList(Head(cfg.width) for _ in BLOCKS)
        if not next(self.heads.parameters()).is_meta:  # a draft, as of a bundle whose generators alone are loaded
            lite0_file()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Outputs:
        """Raw scores (b, 1, p, q) of images in [-1, 1], the finest map first."""
        layers = zip(BLOCKS, features(x, self.side), self.heads, strict=True)
        return Outputs(
            head(conv2d(maps, self.get_buffer(f"projection{block}").to(maps.dtype))) for block, maps, head in layers
        )


def features(x: Float[Tensor, "b c h w"], side: int) -> list[Tensor]:
    """Maps of the frozen network's four blocks for images in [-1, 1], in fp32; a gray image counts as RGB.

    The images are resized to a smaller side of `side`; their proportions are kept.
    """
    with without_autocast(x.device):
        smaller = min(x.shape[2:])
        size = [round(side * each / smaller) for each in x.shape[2:]]
        x = resized(x.float(), *size)
        return frozen_network(x.device).maps(as_input(x), list(BLOCKS))


def resized(x: Float[Tensor, "b c h w"], height: int, width: int) -> Float[Tensor, "b c height width"]:
    """Bilinear with antialiasing, as `interpolate`, by two matrix products: on CUDA its gradient has no fixed order."""
    return _weights(x.shape[2], height, x.device) @ x @ _weights(x.shape[3], width, x.device).T


@cache  # for good: a recorded graph reads them at their address
def _weights(size: int, to: int, device: torch.device) -> Float[Tensor, "to size"]:
    with torch.device("cpu"):
        lines = torch.eye(size)[None, None]
    return interpolate(lines, (to, size), mode="bilinear", antialias=True)[0, 0].to(device)


@lru_cache
def frozen_network(device: torch.device) -> EfficientNetLite0:
    """EfficientNet-Lite0 on a device, one copy for all discriminators, its norms folded into its convolutions."""
    with torch.device("cpu"):
        network = without_norms(load_lite0())
    return network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def projections(width: int) -> dict[int, Tensor]:
    """The random 1x1 convolutions, (width, channels, 1, 1) with variance 1 / channels, by block; always the same."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("cpu"):
        return {
            block: torch.randn(width, channels, 1, 1, generator=generator) / channels**0.5
            for block, channels in BLOCKS.items()
        }


class Head(nn.Sequential):
    """Three 3x3 convolutions, with spectral norm, to one score per place."""

    spectral_norm = True  # read by `normalise_marked`

    def __init__(self, width: int) -> None:
        first, second, last = (nn.Conv2d(width, out, 3, padding=1) for out in (width, width, 1))
        super().__init__(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), last)
