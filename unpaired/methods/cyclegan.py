"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017, arXiv:1703.10593).

The one place where domains and letters meet: X is domain A, Y is domain B;
G: X -> Y is AtoB, F: Y -> X is BtoA; D_Y judges G(x) among real B, D_X judges F(y) among real A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from unpaired.config import Direction
from unpaired.images import Images
from unpaired.losses.adversarial import ADVERSARIAL, AdversarialName
from unpaired.losses.cycle import l1
from unpaired.methods.base import Fakes, Method, Terms
from unpaired.methods.history import History
from unpaired.models import (
    Critic,
    CriticConfig,
    Generator,
    GeneratorConfig,
    PatchGANConfig,
    ResNetConfig,
    build_critic,
    build_generator,
)


@dataclass(frozen=True, kw_only=True)
class CycleGANConfig:
    """The objective's weights and its networks; defaults as published."""

    name: Literal["cyclegan"] = "cyclegan"
    generator: Annotated[GeneratorConfig, Field(discriminator="name")] = field(default_factory=ResNetConfig)
    """Architecture of G and F."""
    critic: Annotated[CriticConfig, Field(discriminator="name")] = field(default_factory=PatchGANConfig)
    """Architecture of D_X and D_Y."""
    adversarial: AdversarialName = "least-squares"
    """Form of the adversarial loss (Sec. 4)."""
    forward_cycle_weight: float = 10.0
    """Lambda of |F(G(x)) - x| (Eq. 2)."""
    backward_cycle_weight: float = 10.0
    """Lambda of |G(F(y)) - y| (Eq. 2)."""
    identity_weight: float = 0.0
    """Weight of |G(y) - y| + |F(x) - x|: half of lambda for photos from paintings (Sec. 5.2), else 0."""
    history: int = 50
    """Past translations per domain that the critics are shown (Sec. 4); 0 for none."""

    def __post_init__(self) -> None:
        for name in ("forward_cycle_weight", "backward_cycle_weight", "identity_weight", "history"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"method.{name} must be at least 0 and finite, got {getattr(self, name)}")


class CycleGAN(Method):
    """L(G, F, D_X, D_Y) = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc(G, F)   (Eq. 3)."""

    def __init__(self, cfg: CycleGANConfig, channels: tuple[int, int]) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y)."""
        super().__init__()
        if cfg.identity_weight and channels[0] != channels[1]:
            raise ValueError(
                f"method.identity_weight compares G(y) with y, which needs equal channels, got {channels[0]} and "
                f"{channels[1]}; set --method.identity-weight 0"
            )
        x, y = channels
        self.cfg = cfg
        self.G, self.F = build_generator(cfg.generator, x, y), build_generator(cfg.generator, y, x)
        self.D_X, self.D_Y = build_critic(cfg.critic, x), build_critic(cfg.critic, y)
        self.past_x, self.past_y = History(cfg.history), History(cfg.history)
        self.loss = ADVERSARIAL[cfg.adversarial]

    def generator_terms(self, x: Images, y: Images) -> tuple[Terms, Fakes]:
        """Adversarial, cycle (Eq. 2) and identity (Sec. 5.2) terms."""
        G, F, D_X, D_Y, cfg = self.G, self.F, self.D_X, self.D_Y, self.cfg
        if cfg.identity_weight:
            (fake_y, same_y), (fake_x, same_x) = self.each(G, x, y), self.each(F, y, x)
            identity: Terms = {
                "identity/Y": cfg.identity_weight * l1(same_y, y),
                "identity/X": cfg.identity_weight * l1(same_x, x),
            }
        else:
            fake_y, fake_x, identity = G(x), F(y), {}
        terms = {
            "gan/G": self.loss.generator(D_Y(fake_y)),
            "gan/F": self.loss.generator(D_X(fake_x)),
            "cycle/X": cfg.forward_cycle_weight * l1(F(fake_y), x),
            "cycle/Y": cfg.backward_cycle_weight * l1(G(fake_x), y),
        }
        return terms | identity, Fakes(x=fake_x.detach(), y=fake_y.detach())

    def critic_terms(self, x: Images, y: Images, fakes: Fakes) -> Terms:
        """Each critic on real images and on its history of translations."""
        return {
            "critic/Y": self.loss.critic(*self.each(self.D_Y, y, self.past_y(fakes.y))),
            "critic/X": self.loss.critic(*self.each(self.D_X, x, self.past_x(fakes.x))),
        }

    @property
    def generators(self) -> dict[str, Generator]:
        """G and F."""
        return {"G": self.G, "F": self.F}

    @property
    def critics(self) -> dict[str, Critic]:
        """D_X and D_Y."""
        return {"D_X": self.D_X, "D_Y": self.D_Y}

    @property
    def histories(self) -> dict[str, History]:
        """Past translations shown to D_X and to D_Y."""
        return {"X": self.past_x, "Y": self.past_y}

    @property
    def translators(self) -> dict[Direction, Generator]:
        """G translates AtoB, F translates BtoA."""
        return {"AtoB": self.G, "BtoA": self.F}
