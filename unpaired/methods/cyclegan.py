"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017, arXiv:1703.10593), and the ablations of its Tables 4 and 5."""

from __future__ import annotations

from collections.abc import Sequence

from unpaired.config.methods import CycleGANConfig
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.losses.masks import Masks, background, inside
from unpaired.methods.base import Losses, LossFunction, forward_many
from unpaired.methods.batch import Batch
from unpaired.methods.choices import Choices, augmented
from unpaired.methods.twoway import TwoWay
from unpaired.models import Discriminator, Generator

ABLATIONS: dict[str, dict[str, float]] = {
    "cycle alone": {"method.gan_weight": 0.0},
    "GAN alone": {"method.forward_cycle_weight": 0.0, "method.backward_cycle_weight": 0.0},
    "GAN + forward cycle": {"method.backward_cycle_weight": 0.0},
    "GAN + backward cycle": {"method.forward_cycle_weight": 0.0},
}
"""The rows of Tables 4 and 5 as settings of an experiment: what each leaves out of Eq. 3."""


class CycleGAN(TwoWay):
    """L(G, F, D_X, D_Y) = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc(G, F)   (Eq. 3)."""

    masked = True

    def __init__(self, cfg: CycleGANConfig, channels: tuple[int, int]) -> None:
        if cfg.identity_weight and channels[0] != channels[1]:
            raise ValueError(
                f"method.identity_weight compares G(y) with y, which needs equal channels, got {channels[0]} and "
                f"{channels[1]}; set --method.identity-weight 0"
            )
        super().__init__(cfg, channels)
        self.cfg = cfg
        self.drawn = Choices() if cfg.augment else None

    def direction(
        self, G: Generator, F: Generator, D: Discriminator, x: Images, y: Images, mask: Masks | None
    ) -> tuple[Losses, Images]:
        """One direction of Eq. 3; a loss of weight 0 is not computed.

        With a mask m, m * G(x) + (1 - m) * x takes the place of G(x), and G learns to leave the rest.
        """
        cfg, losses = self.cfg, Losses()
        cycle_weight = cfg.forward_cycle_weight if G is self.G else cfg.backward_cycle_weight
        fake, *same = forward_many(G, x, y) if cfg.identity_weight else [G(x)]
        if mask is not None:
            if cfg.background_weight:
                losses["background"] = cfg.background_weight * background(mask, fake, x)
            fake = inside(mask, fake, x)
        if cfg.gan_weight:
            shown = self.shown("G" if G is self.G else "F", fake)
            losses["gan"] = cfg.gan_weight * self.loss.generator(D(*shown))  # Eq. 1
        if cycle_weight:
            losses["cycle"] = cycle_weight * l1(F(fake), x)  # Eq. 2
        if cfg.identity_weight:
            losses["identity"] = cfg.identity_weight * l1(same[0], y)  # Sec. 5.2
        return losses, fake

    def shown(self, name: str, *images: Images) -> Sequence[Images]:
        """Images as a discriminator is shown them, augmented; `name` is the network that gets the loss."""
        return augmented(self.drawn, name, self.cfg.augment, *images)

    def paired_losses(self, x: Images, y: Images) -> list[LossFunction]:
        """The distance of both translations to the truth, where it is known: semi-paired training."""
        return self.both_ways(self.supervised, Batch(x, y)) if self.cfg.paired_weight else []

    def supervised(
        self, G: Generator, F: Generator, D: Discriminator, x: Images, y: Images, mask: Masks | None
    ) -> tuple[Losses, Images]:
        """|G(x) - y| of aligned images."""
        fake = G(x)
        return {"paired": self.cfg.paired_weight * l1(fake, y)}, fake
