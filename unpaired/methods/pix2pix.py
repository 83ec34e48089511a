"""pix2pix (Isola, Zhu, Zhou, Efros, CVPR 2017, arXiv:1611.07004): what pairs make possible, the upper bound.

Both directions at once, as two games that share nothing, so that a run translates either way like every other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from unpaired.config import Direction
from unpaired.images import Images
from unpaired.losses.adversarial import ADVERSARIAL
from unpaired.losses.cycle import l1
from unpaired.methods.base import Fakes, Method, Terms
from unpaired.methods.bigan import pair
from unpaired.methods.history import History
from unpaired.methods.twoway import TwoWayConfig
from unpaired.models import Critic, Generator, GeneratorConfig, UNetConfig, build_critic, build_generator


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(TwoWayConfig):
    """The published weight and networks: needs `data.paired`."""

    name: Literal["pix2pix"] = "pix2pix"
    generator: Annotated[GeneratorConfig, Field(discriminator="name")] = field(
        default_factory=lambda: UNetConfig(dropout=True)
    )
    """Architecture of G and F; its dropout is the noise of the paper (App. 6.1.1)."""
    l1_weight: float = 100.0
    """Lambda of |y - G(x)| and |x - F(y)| (Eq. 4)."""
    adversarial: Literal["least-squares", "log-likelihood", "hinge"] = "log-likelihood"
    """Form of the adversarial loss (Eq. 1)."""
    history: int = 0
    """Past pairs that the critics are shown; none in the paper."""


class Pix2Pix(Method):
    """G* = arg min_G max_D L_cGAN(G, D) + lambda E[|y - G(x)|_1]   (Eq. 4), and the same for F: Y -> X.

    x and y of a step must show the same thing: the k-th of one batch with the k-th of the other.
    """

    def __init__(self, cfg: Pix2PixConfig, channels: tuple[int, int]) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y)."""
        super().__init__()
        self.cfg = cfg
        x, y = channels
        self.G, self.F = build_generator(cfg.generator, x, y), build_generator(cfg.generator, y, x)
        self.D_X, self.D_Y = build_critic(cfg.critic, x + y), build_critic(cfg.critic, x + y)
        self.past_x, self.past_y = History(cfg.history), History(cfg.history)
        self.loss = ADVERSARIAL[cfg.adversarial]

    def generator_terms(self, x: Images, y: Images) -> tuple[Terms, Fakes]:
        """Conditional adversarial terms (Eq. 1) and the distance to the truth (Eq. 3)."""
        fake_y, fake_x = self.G(x), self.F(y)
        terms = {
            "gan/G": self.loss.generator(self.D_Y(pair(x, fake_y))),
            "gan/F": self.loss.generator(self.D_X(pair(fake_x, y))),
            "l1/G": self.cfg.l1_weight * l1(fake_y, y),
            "l1/F": self.cfg.l1_weight * l1(fake_x, x),
        }
        return terms, Fakes(x=fake_x.detach(), y=fake_y.detach())

    def critic_terms(self, x: Images, y: Images, fakes: Fakes) -> Terms:
        """Each critic on the true pair and on the pair with a translation."""
        true = pair(x, y)
        return {
            "critic/Y": self.loss.critic(*self.each(self.D_Y, true, self.past_y(pair(x, fakes.y)))),
            "critic/X": self.loss.critic(*self.each(self.D_X, true, self.past_x(pair(fakes.x, y)))),
        }

    @property
    def generators(self) -> dict[str, Generator]:
        """G and F."""
        return {"G": self.G, "F": self.F}

    @property
    def critics(self) -> dict[str, Critic]:
        """D_X and D_Y, of pairs."""
        return {"D_X": self.D_X, "D_Y": self.D_Y}

    @property
    def histories(self) -> dict[str, History]:
        """Past pairs shown to D_X and to D_Y."""
        return {"X": self.past_x, "Y": self.past_y}

    @property
    def translators(self) -> dict[Direction, Generator]:
        """G translates AtoB, F translates BtoA."""
        return {"AtoB": self.G, "BtoA": self.F}
