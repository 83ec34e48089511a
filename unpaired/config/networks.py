"""Settings of the networks, one dataclass each; the networks are in `unpaired.models`.

Importing this imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from pydantic import Field

from unpaired.core.errors import brief

Norm = Literal["instance", "batch", "none"]
Padding = Literal["reflect", "replicate", "zero"]
Downsampling = Literal["strided", "blur"]
Upsampling = Literal["transposed", "resize", "blur"]
InitName = Literal["normal", "xavier", "kaiming", "orthogonal"]


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """The distribution of the first weights."""

    init: InitName = "normal"
    """Distribution of the first weights: N(0, init_gain) as published, or the official code's others."""
    init_gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.02
    """Standard deviation of init normal, gain of xavier and orthogonal."""


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(InitConfig):
    """c7s1-width, two stride-2 convolutions, residual blocks, two stride-1/2 ones, c7s1-channels."""

    name: Literal["resnet"] = "resnet"
    width: int = 64
    """Feature maps after the first convolution."""
    blocks: int = 9
    """Residual blocks: 6 for 128 px training images, 9 from 256 px up (App. 7.2)."""
    norm: Norm = "instance"
    """Normalisation after every convolution but the last."""
    dropout: bool = False
    """Dropout of one half inside each residual block (off in CycleGAN)."""
    padding: Padding = "reflect"
    """Padding inside the residual blocks; the 7x7 layers always reflect."""
    downsampling: Downsampling = "strided"
    """"strided" as published, or "blur": a convolution, then a blur at stride 2 (CUT's default)."""
    upsampling: Upsampling = "transposed"
    """"transposed" as published; "resize": bilinear and a convolution; "blur": a blur and a convolution (CUT's)."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if not 0 <= self.blocks <= 256:
            raise ValueError(f"blocks must be 0 to 256, got {brief(self.blocks)}")


@dataclass(frozen=True, kw_only=True)
class UNetConfig(InitConfig):
    """An encoder-decoder with a skip connection at every scale; the published one goes down to 1x1."""

    name: Literal["unet"] = "unet"
    width: int = 64
    """Feature maps at half the size; eight times as many from the fourth halving on."""
    downs: int = 8
    """Halvings: 7 for 128 px images, 8 for 256 px. Sides must divide by two to this power."""
    norm: Norm = "instance"
    """Normalisation after the inner convolutions."""
    dropout: bool = False
    """Dropout of one half in the innermost full-width decoder steps (on in pix2pix)."""
    downsampling: Downsampling = "strided"
    """"strided" as published, or "blur": a 3x3 convolution, then a blur at stride 2."""
    upsampling: Upsampling = "transposed"
    """"transposed" as published; "resize": bilinear and a convolution; "blur": a blur and a convolution."""
    image_skip: bool = False
    """Lay the image itself beside what the last convolution sees, at full size; needs upsampling "resize".

    That convolution begins with a copy of the image.
    """

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if self.image_skip and self.upsampling != "resize":
            raise ValueError(f'image_skip needs upsampling "resize", got {brief(self.upsampling)}')
        if not 5 <= self.downs <= 14:
            raise ValueError(f"downs must be 5 (the full-width scales) to 14 (16384 px), got {brief(self.downs)}")


@dataclass(frozen=True, kw_only=True)
class PatchGANConfig(InitConfig):
    """A score per overlapping patch: receptive field 16, 34, 70, 142, 286 px for 1 to 5 layers."""

    name: Literal["patchgan"] = "patchgan"
    width: int = 64
    """Feature maps after the first convolution."""
    layers: int = 3
    """Stride-2 convolutions; three give the 70x70 PatchGAN of the paper."""
    norm: Norm = "instance"
    """Normalisation of the inner convolutions."""
    scales: int = 1
    """PatchGANs side by side, each on an image of half the size of the one before (pix2pixHD: 3)."""
    downsampling: Downsampling = "strided"
    """"strided" as published, or "blur": a convolution, then a blur at stride 2 (CUT's default)."""
    spectral_norm: bool = False
    """Divide every kernel by its largest singular value (Miyato et al. 2018); take norm "none" with it."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.layers < 1:
            raise ValueError(f"width and layers must be at least 1, got {self.width} and {self.layers}")
        if not 1 <= self.scales <= 8:
            raise ValueError(f"scales must be 1 to 8, got {brief(self.scales)}")
        if self.layers > 14:  # 16384 px halved to one
            raise ValueError(f"layers must be at most 14, got {brief(self.layers)}")


@dataclass(frozen=True, kw_only=True)
class PixelGANConfig(InitConfig):
    """A score per pixel from its colour alone: 1x1 convolutions."""

    name: Literal["pixelgan"] = "pixelgan"
    width: int = 64
    """Feature maps after the first convolution."""
    norm: Norm = "instance"
    """Normalisation of the inner convolution."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")


@dataclass(frozen=True, kw_only=True)
class ProjectedConfig:
    """Scores features of a frozen ImageNet network; needs the extra `metrics`, and images of 1 or 3 channels."""

    name: Literal["projected"] = "projected"
    width: int = 64
    """Channels to which a random, frozen 1x1 convolution brings each of the four feature maps."""
    side: int = 128
    """Smaller side in pixels to which images are resized before the features, in their own proportions."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if not 32 <= self.side <= 1024:
            raise ValueError(f"side must be 32 to 1024 px, got {brief(self.side)}")


@dataclass(frozen=True, kw_only=True)
class JointConfig:
    """A PatchGAN and a projected discriminator side by side; the loss is the mean over all their outputs."""

    name: Literal["joint"] = "joint"
    patchgan: PatchGANConfig = field(default_factory=lambda: PatchGANConfig(norm="none"))
    """Sees absolute colour, for it has no norm unless given one."""
    projected: ProjectedConfig = field(default_factory=ProjectedConfig)
    """Sees shape and context."""


@dataclass(frozen=True, kw_only=True)
class CoupledConfig:
    """Noise to a pair of images: all stride-1/2 convolutions but the last are shared."""

    name: Literal["coupled"] = "coupled"
    width: int = 64
    """Feature maps before the image; twice as many with every halving, eight times at most."""
    halvings: int = 4
    """Pixels in a cell of the latent grid, as a power of two."""
    latent: int = 100
    """Numbers in a latent vector."""
    norm: Norm = "batch"
    """Normalisation of all layers but the outermost, as published."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.latent < 1:
            raise ValueError(f"width and latent must be at least 1, got {self.width} and {self.latent}")
        if self.halvings < 2:
            raise ValueError(f"halvings must be at least 2 (one shared, one private), got {self.halvings}")


GeneratorConfig = ResNetConfig | UNetConfig
DiscriminatorConfig = PatchGANConfig | PixelGANConfig | ProjectedConfig | JointConfig
NETWORK_NAMES = frozenset(kind.name for kind in get_args(GeneratorConfig) + get_args(DiscriminatorConfig))
