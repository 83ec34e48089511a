"""The frame of methods with two generators, two discriminators and two histories: one direction, applied both ways.

The one place where domains and letters meet: X is domain A, Y is domain B;
G: X -> Y is AtoB, F: Y -> X is BtoA; D_Y tells G(x) from real B, D_X tells F(y) from real A.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from unpaired.config import Direction
from unpaired.config.methods import TwoWayConfig
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import ADVERSARIAL
from unpaired.losses.masks import Masks
from unpaired.methods.base import Fakes, Losses, LossFunction, Method, discriminator_losses
from unpaired.methods.batch import Batch
from unpaired.methods.history import History
from unpaired.models import Discriminator, Generator, build_discriminator, build_generator

OneDirection = Callable[[Generator, Generator, Discriminator, Images, Images, Masks | None], tuple[Losses, Images]]
"""Of G, F, D, x, y and the mask of x: losses by name, and G(x)."""


class TwoWay(Method):
    """G: X -> Y against D_Y, F: Y -> X against D_X; a method writes the losses of one direction."""

    def __init__(self, cfg: TwoWayConfig, channels: tuple[int, int], inputs: tuple[int, int] | None = None) -> None:
        """Fresh networks for images of `channels` = (of X, of Y); D_X and D_Y see `inputs` channels, if given."""
        super().__init__()
        x, y = channels
        self.G, self.F = build_generator(cfg.generator, x, y), build_generator(cfg.generator, y, x)
        self.r1_weight = cfg.r1_weight
        self.D_X, self.D_Y = (
            build_discriminator(cfg.discriminator, count, twice=cfg.r1_weight > 0) for count in inputs or channels
        )
        self.past_x, self.past_y = History(cfg.history), History(cfg.history)
        self.loss = ADVERSARIAL[cfg.adversarial]

    @abstractmethod
    def direction(
        self, G: Generator, F: Generator, D: Discriminator, x: Images, y: Images, mask: Masks | None
    ) -> tuple[Losses, Images]:
        """The losses of X -> Y in the paper's letters, and G(x); for Y -> X the letters change places."""

    def generator_losses(self, batch: Batch) -> list[LossFunction]:
        """The losses of each direction; named by the generator that translates."""
        return self.both_ways(self.direction, batch)

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> list[LossFunction]:
        """Each discriminator on real images and on its history of translations."""
        return [
            partial(self.discriminate, "Y", self.D_Y, batch.y, self.past_y, fakes["G"]),
            partial(self.discriminate, "X", self.D_X, batch.x, self.past_x, fakes["F"]),
        ]

    def both_ways(self, direction: OneDirection, batch: Batch) -> list[LossFunction]:
        """A direction's losses, and the same with X and Y, G and F, D_Y and D_X exchanged."""
        x, y = batch.x, batch.y
        mask_x, mask_y = batch.masks or (None, None)
        return [
            partial(_named, "G", direction, self.G, self.F, self.D_Y, x, y, mask_x),
            partial(_named, "F", direction, self.F, self.G, self.D_X, y, x, mask_y),
        ]

    def discriminate(
        self, domain: str, D: Discriminator, real: Tensor, past: History, fake: Tensor
    ) -> tuple[Losses, Fakes]:
        """A discriminator's losses on real images of its domain and on its history of translations (Eq. 1)."""
        shown = self.shown(f"D_{domain}", real, past(fake))
        return discriminator_losses(self.loss, self.r1_weight, domain, D, *shown), {}

    def shown(self, name: str, *images: Images) -> Sequence[Images]:
        """Images as a discriminator is shown them; `name` is the network that gets the loss."""
        return images

    @property
    def translators(self) -> dict[Direction, Generator]:
        """G translates AtoB, F translates BtoA."""
        return {"AtoB": self.G, "BtoA": self.F}


def _named(
    letter: str, direction: OneDirection, G: Generator, F: Generator, D: Discriminator, *images: Tensor | None
) -> tuple[Losses, Fakes]:
    losses, fake = direction(G, F, D, *images)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return {f"{name}/{letter}": loss for name, loss in losses.items()}, {letter: fake.detach()}
