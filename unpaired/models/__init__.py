"""Generators and discriminators, each with its own config; they depend on no loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from unpaired.config.networks import (
    DiscriminatorConfig,
    GeneratorConfig,
    JointConfig,
    PatchGANConfig,
    PixelGANConfig,
    ProjectedConfig,
    ResNetConfig,
    UNetConfig,
)
from unpaired.core.errors import BadInput
from unpaired.models.coupled import Rendering
from unpaired.models.init import initialise, normalise_marked
from unpaired.models.joint import JointDiscriminator, MultiScalePatchGAN, patchgan
from unpaired.models.patchgan import PatchGAN, PixelGAN
from unpaired.models.projected import ProjectedDiscriminator
from unpaired.models.resnet import ResNetGenerator
from unpaired.models.unet import UNetGenerator

__all__ = [
    "GENERATORS",
    "Discriminator",
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "JointConfig",
    "PatchGAN",
    "PatchGANConfig",
    "PixelGAN",
    "PixelGANConfig",
    "ProjectedConfig",
    "ResNetConfig",
    "ResNetGenerator",
    "UNetConfig",
    "UNetGenerator",
    "build_discriminator",
    "build_generator",
    "require_fit",
]

Generator = ResNetGenerator | UNetGenerator | Rendering
"""`batch_independent` says whether the result for an image does not depend on the rest of its batch; height and width
must divide by `size_multiple` and be at least `min_size`."""
Discriminator = PatchGAN | PixelGAN | MultiScalePatchGAN | ProjectedDiscriminator | JointDiscriminator
"""`batch_independent` as in generators."""

GENERATORS = {"resnet": ResNetGenerator, "unet": UNetGenerator}
DISCRIMINATORS: dict[str, Callable[..., Discriminator]] = {
    "patchgan": patchgan,
    "pixelgan": PixelGAN,
    "projected": ProjectedDiscriminator,
    "joint": JointDiscriminator,
}


def build_generator(cfg: GeneratorConfig, channels: int, out_channels: int) -> ResNetGenerator | UNetGenerator:
    """A freshly initialised generator from `channels` to `out_channels` image channels."""
    network = GENERATORS[cfg.name](cfg, channels, out_channels)
    initialise(network, cfg.init, cfg.init_gain)
    if isinstance(network, UNetGenerator):
        network.start_as_copy()
    return network


def build_discriminator(cfg: DiscriminatorConfig, channels: int, twice: bool = False) -> Discriminator:
    """A freshly initialised discriminator of images with `channels` channels.

    With `twice`, for a loss that holds its gradient, as R1 does, `kernels.optimize` keeps the plain layers.
    """
    network = DISCRIMINATORS[cfg.name](cfg, channels)
    parts: list[tuple[nn.Module, object]] = [(network, cfg)]
    if isinstance(network, JointDiscriminator) and isinstance(cfg, JointConfig):
        parts = [(network.patchgan, cfg.patchgan), (network.projected, cfg.projected)]
    for part, settings in parts:
        initialise(part, getattr(settings, "init", "normal"), getattr(settings, "init_gain", 0.02))
    normalise_marked(network)
    network.twice_differentiable = twice  # pyright: ignore[reportArgumentType]
    return network


def require_fit(network: nn.Module, weights: Mapping[str, Tensor], name: str, advice: str) -> None:
    """Refuse weights of another architecture.

    Raises:
        BadInput: names the first key that is missing, unknown or of another shape, and how many there are.
    """
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    wrong = [
        f"{key}: expected {expected.get(key, 'no such weight')}, found {found.get(key, 'none')}"
        for key in expected | found
        if expected.get(key) != found.get(key)
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise BadInput(f"{name} does not fit the generator: {wrong[0]}{more}; {advice}")
