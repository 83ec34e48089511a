"""pix2pix (Isola, Zhu, Zhou, Efros, CVPR 2017, arXiv:1611.07004): trained on pairs, the upper bound.

Both directions are trained independently, so that a run translates either way like every other.
"""

from __future__ import annotations

from functools import partial

from unpaired.config.methods import Pix2PixConfig
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.losses.masks import Masks
from unpaired.methods.base import Fakes, Losses, LossFunction
from unpaired.methods.batch import Batch
from unpaired.methods.bigan import pair
from unpaired.methods.twoway import TwoWay
from unpaired.models import Discriminator, Generator


class Pix2Pix(TwoWay):
    """G* = arg min_G max_D L_cGAN(G, D) + lambda E[|y - G(x)|_1]   (Eq. 4), and the same for F: Y -> X.

    x and y of a step must show the same thing: the k-th of one batch with the k-th of the other. A step updates the
    discriminators before the generators (Sec. 3.3).
    """

    discriminators_first = True

    def __init__(self, cfg: Pix2PixConfig, channels: tuple[int, int]) -> None:
        pair_channels = sum(channels)
        super().__init__(cfg, channels, inputs=(pair_channels, pair_channels))
        self.cfg = cfg

    def direction(
        self, G: Generator, F: Generator, D: Discriminator, x: Images, y: Images, mask: Masks | None
    ) -> tuple[Losses, Images]:
        """Conditional adversarial loss (Eq. 1) and the distance to the truth (Eq. 3)."""
        fake = G(x)
        shown = pair(x, fake) if G is self.G else pair(fake, x)
        return {"gan": self.loss.generator(D(shown)), "l1": self.cfg.l1_weight * l1(fake, y)}, fake

    def translations(self, batch: Batch) -> Fakes:
        """G(x) and F(y)."""
        return {"G": self.G(batch.x), "F": self.F(batch.y)}

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> list[LossFunction]:
        """Each discriminator on the true pair and on the pair with a translation."""
        x, y = batch.x, batch.y
        return [
            partial(self.discriminate, "Y", self.D_Y, pair(x, y), self.past_y, pair(x, fakes["G"])),
            partial(self.discriminate, "X", self.D_X, pair(x, y), self.past_x, pair(fakes["F"], y)),
        ]
