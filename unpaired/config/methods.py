"""Settings of the methods, one dataclass each; the methods are in `unpaired.methods`.

Importing this imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from pydantic import Field

from unpaired.config import Direction
from unpaired.config.networks import (
    CoupledConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    PatchGANConfig,
    ResNetConfig,
    UNetConfig,
)
from unpaired.core.errors import brief

AdversarialName = Literal["least-squares", "log-likelihood", "hinge"]
Generator = Annotated[GeneratorConfig, Field(discriminator="name")]
Discriminator = Annotated[DiscriminatorConfig, Field(discriminator="name")]
AUGMENTATIONS = ("colour", "translation", "cutout")


def _require_weights(settings: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(settings, name) < math.inf:
            raise ValueError(f"method.{name} must be at least 0 and finite, got {getattr(settings, name)}")


def augmentations(text: str) -> frozenset[str]:
    """The kinds of augmentation in a setting `augment`; raises ValueError for an unknown one."""
    kinds = frozenset(kind.strip() for kind in text.split(",")) if text else frozenset()
    if unknown := sorted(kinds - {*AUGMENTATIONS}):
        raise ValueError(f"method.augment must be some of {', '.join(AUGMENTATIONS)}, got {brief(unknown[0])}")
    return kinds


@dataclass(frozen=True, kw_only=True)
class TwoWayConfig:
    """Networks, adversarial loss and image history; defaults as published."""

    name: str
    generator: Generator = field(default_factory=ResNetConfig)
    """Architecture of G and F."""
    discriminator: Discriminator = field(default_factory=PatchGANConfig)
    """Architecture of D_X and D_Y."""
    adversarial: AdversarialName = "least-squares"
    """Form of the adversarial loss (CycleGAN Sec. 4)."""
    history: int = 50
    """Past translations per domain kept for the discriminators (CycleGAN Sec. 4); 0 for none."""
    r1_weight: float = 0.0
    """Gamma of the gradient penalty on real images (R1, Mescheder et al. 2018); 0 for none."""

    def __post_init__(self) -> None:
        _require_weights(self, "history", *(name for name in vars(self) if name.endswith("_weight")))


@dataclass(frozen=True, kw_only=True)
class CycleGANConfig(TwoWayConfig):
    """Weights of the losses and the networks; defaults as published."""

    name: Literal["cyclegan"] = "cyclegan"
    gan_weight: float = 1.0
    """Weight of L_GAN(G, D_Y) + L_GAN(F, D_X) (Eq. 3)."""
    forward_cycle_weight: float = 10.0
    """Lambda of |F(G(x)) - x| (Eq. 2)."""
    backward_cycle_weight: float = 10.0
    """Lambda of |G(F(y)) - y| (Eq. 2)."""
    paired_weight: float = 10.0
    """Weight of |G(x) - y| + |F(y) - x| on aligned pairs, with data.pairs."""
    background_weight: float = 10.0
    """Weight of |(1 - m)(G(x) - x)| + |(1 - m)(F(y) - y)| outside the masks m, with data.masks."""
    identity_weight: float = 0.0
    """Weight of |G(y) - y| + |F(x) - x|: half of lambda for photos from paintings (Sec. 5.2), else 0."""
    augment: str = ""
    """DiffAugment of all that discriminators are shown: colour, translation and cutout or some, with commas between."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.gan_weight or self.forward_cycle_weight or self.backward_cycle_weight or self.identity_weight):
            raise ValueError("method: expected one weight above 0, got none: there is no loss")
        augmentations(self.augment)


@dataclass(frozen=True, kw_only=True)
class CoGANConfig:
    """The coupled networks and their adversarial loss."""

    name: Literal["cogan"] = "cogan"
    generator: CoupledConfig = field(default_factory=CoupledConfig)
    """Architecture of the coupled generators and of the encoders."""
    discriminator: PatchGANConfig = field(default_factory=lambda: PatchGANConfig(norm="none"))
    """Architecture of the coupled discriminators: all but the first convolution is shared."""
    adversarial: AdversarialName = "log-likelihood"
    """Form of the adversarial loss (Eq. 1 of CoGAN)."""

    def __post_init__(self) -> None:
        if self.discriminator.scales > 1 or self.discriminator.spectral_norm:
            raise ValueError(
                "method.discriminator: cogan, whose discriminators share layers, takes scales 1 and spectral_norm false"
            )


@dataclass(frozen=True, kw_only=True)
class BiGANConfig(TwoWayConfig):
    """The networks of CycleGAN; one discriminator of both images of a pair."""

    name: Literal["bigan"] = "bigan"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r1_weight:
            raise ValueError(
                f"method.r1_weight must be 0 for bigan, whose discriminator sees no pair of real images, got "
                f"{self.r1_weight}"
            )


@dataclass(frozen=True, kw_only=True)
class SimGANConfig(TwoWayConfig):
    """The networks of CycleGAN, with a content loss."""

    name: Literal["simgan"] = "simgan"
    content_weight: float = 10.0
    """Weight of |x - G(x)| and |y - F(y)|, as in the authors' code."""


@dataclass(frozen=True, kw_only=True)
class FeatureGANConfig(TwoWayConfig):
    """The networks of CycleGAN, with a feature loss."""

    name: Literal["featuregan"] = "featuregan"
    feature_weight: float = 10.0
    """Weight of |phi(x) - phi(G(x))| and |phi(y) - phi(F(y))|, as in the authors' code."""
    features: str = ""
    """VGG-16's ImageNet weights, vgg16-397923af.pth, for relu4_2; empty: EfficientNet-Lite0 of the `metrics` extra."""


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(TwoWayConfig):
    """The published weight and networks: needs `data.paired`."""

    name: Literal["pix2pix"] = "pix2pix"
    generator: Generator = field(default_factory=lambda: UNetConfig(dropout=True))
    """Architecture of G and F; its dropout is the noise of the paper (App. 6.1.1)."""
    l1_weight: float = 100.0
    """Lambda of |y - G(x)| and |x - F(y)| (Eq. 4)."""
    adversarial: AdversarialName = "log-likelihood"
    """Form of the adversarial loss (Eq. 1)."""
    history: int = 0
    """Past pairs kept for the discriminators; none in the paper."""


@dataclass(frozen=True, kw_only=True)
class CUTConfig:
    """Weights, networks and sampling of CUT as published; the preset `fastcut` has those of FastCUT."""

    name: Literal["cut"] = "cut"
    generator: Generator = field(
        default_factory=lambda: ResNetConfig(init="xavier", downsampling="blur", upsampling="blur")
    )
    """Architecture of G, whose encoder gives the features."""
    discriminator: Discriminator = field(default_factory=lambda: PatchGANConfig(init="xavier", downsampling="blur"))
    """Architecture of D_Y."""
    adversarial: AdversarialName = "least-squares"
    """Form of the adversarial loss."""
    gan_weight: float = 1.0
    """Weight of L_GAN(G, D_Y)."""
    nce_weight: float = 1.0
    """Lambda of PatchNCE; with `identity` the mean of both terms is weighted."""
    identity: bool = True
    """Also compare y and G(y), which needs a second translation in each step (CUT); FastCUT goes without."""
    flip_equivariance: bool = False
    """Half of the steps G sees mirrored images, whose features are mirrored back (FastCUT)."""
    patches: int = 256
    """Places of each layer that are compared; in smaller feature maps all of them."""
    temperature: float = 0.07
    """Divisor of the similarities."""
    r1_weight: float = 0.0
    """Gamma of the gradient penalty on real images (R1, Mescheder et al. 2018); 0 for none."""
    augment: str = ""
    """DiffAugment of all that discriminators are shown: colour, translation and cutout or some, with commas between."""
    direction: Direction = "AtoB"
    """The direction that is trained."""

    def __post_init__(self) -> None:
        _require_weights(self, "gan_weight", "nce_weight", "r1_weight")
        if not (self.gan_weight or self.nce_weight):
            raise ValueError("method: expected one weight above 0, got none: nothing would be learnt")
        augmentations(self.augment)
        if not 2 <= self.patches <= 2**14:
            raise ValueError(f"method.patches must be 2 to {2**14}, got {brief(self.patches)}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"method.temperature must be above 0 and finite, got {self.temperature}")


MethodConfig = CycleGANConfig | CoGANConfig | BiGANConfig | SimGANConfig | FeatureGANConfig | Pix2PixConfig | CUTConfig
METHOD_CONFIGS: dict[str, type] = {kind.name: kind for kind in get_args(MethodConfig)}
"""The settings of each method by the method's name."""
