"""What the methods with a discriminator on each side share: two generators, two discriminators, two histories.

The one place where domains and letters meet: X is domain A, Y is domain B;
G: X -> Y is AtoB, F: Y -> X is BtoA; D_Y judges G(x) among real B, D_X judges F(y) among real A.
"""

from __future__ import annotations

from torch import Tensor

from unpaired.config import Direction
from unpaired.config.methods import TwoWayConfig
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import ADVERSARIAL
from unpaired.methods.base import Fakes, Method, Terms
from unpaired.methods.history import History
from unpaired.models import (
    Discriminator,
    Generator,
    build_discriminator,
    build_generator,
)


class TwoWay(Method):
    """G: X -> Y judged by D_Y, F: Y -> X judged by D_X; what ties them together is each method's own."""

    def __init__(self, cfg: TwoWayConfig, channels: tuple[int, int], judged: tuple[int, int] | None = None) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y).

        Args:
            cfg: The networks and their game.
            channels: Of X and of Y.
            judged: Channels that D_X and D_Y see; those of X and of Y unless given.
        """
        super().__init__()
        x, y = channels
        self.G, self.F = build_generator(cfg.generator, x, y), build_generator(cfg.generator, y, x)
        self.D_X, self.D_Y = (build_discriminator(cfg.discriminator, count) for count in judged or channels)
        self.past_x, self.past_y = History(cfg.history), History(cfg.history)
        self.loss = ADVERSARIAL[cfg.adversarial]

    def discriminator_losses(self, x: Images, y: Images, fakes: Fakes) -> Terms:
        """Each discriminator on real images and on its history of translations."""
        return self.judged((y, self.past_y(fakes.y)), (x, self.past_x(fakes.x)))

    def gan_losses(self, for_y: Tensor, for_x: Tensor, weight: float = 1.0) -> Terms:
        """What G and F lose on what D_Y and D_X are shown of theirs."""
        of_y, of_x = self.both(lambda: self.D_Y(for_y), lambda: self.D_X(for_x))
        return {"gan/G": weight * self.loss.generator(of_y), "gan/F": weight * self.loss.generator(of_x)}

    def judged(self, for_y: tuple[Tensor, Tensor], for_x: tuple[Tensor, Tensor]) -> Terms:
        """What the discriminators lose on what each is shown: real ones, and translated ones."""
        of_y, of_x = self.both(lambda: self.each(self.D_Y, *for_y), lambda: self.each(self.D_X, *for_x))
        return {"discriminator/Y": self.loss.discriminator(*of_y), "discriminator/X": self.loss.discriminator(*of_x)}

    @property
    def generators(self) -> dict[str, Generator]:
        """G and F."""
        return {"G": self.G, "F": self.F}

    @property
    def discriminators(self) -> dict[str, Discriminator]:
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
