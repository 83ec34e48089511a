"""GcGAN in one file, added from outside the package: one-sided translation without a cycle.

Fu et al., "Geometry-Consistent Generative Adversarial Networks for One-Sided Unsupervised Domain Mapping", CVPR 2019
(arXiv:1809.05852). A mirrored or turned image must translate to the mirrored or turned translation, G(f(x)) =
f(G(x)). This replaces cycle consistency, so there is no F and no D_X.

    unpaired prepare earth earth64
    python examples/geometry_consistency.py earth64 runs/gcgan --steps 4000
    python examples/geometry_consistency.py earth64 runs/gcgan --steps 4000    # resumes

A bundle of this method can be loaded after this file was imported.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

import unpaired
from unpaired.config import Direction
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import ADVERSARIAL
from unpaired.losses.cycle import l1
from unpaired.methods import METHODS, Batch, Fakes, History, Losses, LossFunction, Method, forward_many
from unpaired.models import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    PatchGANConfig,
    ResNetConfig,
    build_discriminator,
    build_generator,
)


@dataclass(frozen=True, kw_only=True)
class GcGANConfig:
    """Weights of the losses and the networks."""

    name: Literal["gcgan"] = "gcgan"
    generator: Annotated[GeneratorConfig, Field(discriminator="name")] = field(default_factory=ResNetConfig)
    """Architecture of G."""
    discriminator: Annotated[DiscriminatorConfig, Field(discriminator="name")] = field(default_factory=PatchGANConfig)
    """Architecture of D_Y and of its counterpart for turned images."""
    geometry: Literal["flip", "rotate"] = "flip"
    """f: upside down, or a quarter turn."""
    geometry_weight: float = 20.0
    """Weight of |G(x) - f^-1(G(f(x)))| + |G(f(x)) - f(G(x))|."""
    identity_weight: float = 0.0
    """Weight of |G(y) - y|."""
    history: int = 50
    """Past translations kept for the discriminators; 0 for none."""

    def __post_init__(self) -> None:
        for name in ("geometry_weight", "identity_weight", "history"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must be at least 0, got {getattr(self, name)}")


class GcGAN(Method):
    """L(G, D_Y, D_T) = L_GAN(G, D_Y) + L_GAN(G, D_T) + lambda L_geo(G), with T the turned images of Y."""

    def __init__(self, cfg: GcGANConfig, channels: tuple[int, int]) -> None:
        super().__init__()
        x, y = channels
        if cfg.identity_weight and x != y:
            raise ValueError(f"method.identity_weight needs equal channels, got {x} and {y}; set it to 0")
        self.cfg = cfg
        self.G = build_generator(cfg.generator, x, y)
        self.D_Y, self.D_T = build_discriminator(cfg.discriminator, y), build_discriminator(cfg.discriminator, y)
        self.past_y, self.past_t = History(cfg.history), History(cfg.history)
        self.loss = ADVERSARIAL["least-squares"]

    def f(self, images: Tensor) -> Tensor:
        """The geometric transformation."""
        return images.flip(2) if self.cfg.geometry == "flip" else images.rot90(1, (2, 3))

    def f_inverse(self, images: Tensor) -> Tensor:
        """Its inverse."""
        return images.flip(2) if self.cfg.geometry == "flip" else images.rot90(-1, (2, 3))

    def generator_losses(self, batch: Batch) -> list[LossFunction]:
        """All losses of G, which hang together: one function."""
        return [partial(self.translate, batch.x, batch.y)]

    def translate(self, x: Images, y: Images) -> tuple[Losses, Fakes]:
        """Both adversarial losses, and geometry consistency both ways."""
        G, cfg = self.G, self.cfg
        fake, turned = forward_many(G, x, self.f(x))
        losses = {
            "gan/G": self.loss.generator(self.D_Y(fake)),
            "gan/turned": self.loss.generator(self.D_T(turned)),
            "geometry": cfg.geometry_weight * (l1(fake, self.f_inverse(turned)) + l1(turned, self.f(fake))),
        }
        if cfg.identity_weight:
            losses["identity"] = cfg.identity_weight * l1(G(y), y)
        return losses, {"G": fake.detach(), "turned": turned.detach()}

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> list[LossFunction]:
        """Each discriminator on real images, upright or turned, and on its history of translations."""
        y, turned = batch.y, self.f(batch.y)
        return [
            partial(self.discriminate, "Y", self.D_Y, y, self.past_y, fakes["G"]),
            partial(self.discriminate, "turned", self.D_T, turned, self.past_t, fakes["turned"]),
        ]

    def discriminate(self, name: str, D: Discriminator, real: Tensor, past: History, fake: Tensor):
        """The loss of one discriminator."""
        return {f"discriminator/{name}": self.loss.discriminator(*forward_many(D, real, past(fake)))}, {}

    @property
    def translators(self) -> dict[Direction, Generator]:
        """One direction only."""
        return {"AtoB": self.G}


METHODS["gcgan"] = GcGAN


def main() -> None:
    """Train on a prepared data set, with the networks and the data settings of a preset."""
    parser = argparse.ArgumentParser(description="Geometry-consistent one-sided translation")
    parser.add_argument("data", help="folder with trainA and trainB")
    parser.add_argument("out", help="folder of the run")
    parser.add_argument("--preset", default="earth", help="preset of networks, data and optimisation")
    parser.add_argument("--geometry", default="flip", choices=["flip", "rotate"])
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args()
    base = unpaired.presets.preset(options.preset)
    networks = {"generator": base.method.generator, "discriminator": base.method.discriminator}
    method = GcGANConfig(**networks, geometry=options.geometry, history=base.method.history)
    experiment = replace(base, name="gcgan", method=method, optim=replace(base.optim, steps=options.steps))
    print(unpaired.train(experiment, data=options.data, out=options.out))


if __name__ == "__main__":
    main()
