"""pix2pix (Isola, Zhu, Zhou, Efros, CVPR 2017, arXiv:1611.07004): what pairs make possible, the upper bound.

Both directions at once, as two games that share nothing, so that a run translates either way like every other.
"""

from __future__ import annotations

from unpaired.config.methods import Pix2PixConfig
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.methods.base import Fakes, Terms
from unpaired.methods.bigan import pair
from unpaired.methods.twoway import TwoWay


class Pix2Pix(TwoWay):
    """G* = arg min_G max_D L_cGAN(G, D) + lambda E[|y - G(x)|_1]   (Eq. 4), and the same for F: Y -> X.

    x and y of a step must show the same thing: the k-th of one batch with the k-th of the other.
    """

    def __init__(self, cfg: Pix2PixConfig, channels: tuple[int, int]) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y)."""
        pair_channels = sum(channels)
        super().__init__(cfg, channels, judged=(pair_channels, pair_channels))
        self.cfg = cfg

    def generator_losses(self, x: Images, y: Images) -> tuple[Terms, Fakes]:
        """Conditional adversarial terms (Eq. 1) and the distance to the truth (Eq. 3)."""
        fake_y, fake_x = self.both(lambda: self.G(x), lambda: self.F(y))
        terms = {
            **self.gan_losses(pair(x, fake_y), pair(fake_x, y)),
            "l1/G": self.cfg.l1_weight * l1(fake_y, y),
            "l1/F": self.cfg.l1_weight * l1(fake_x, x),
        }
        return terms, Fakes(x=fake_x.detach(), y=fake_y.detach())

    def discriminator_losses(self, x: Images, y: Images, fakes: Fakes) -> Terms:
        """Each discriminator on the true pair and on the pair with a translation."""
        true = pair(x, y)
        return self.judged((true, self.past_y(pair(x, fakes.y))), (true, self.past_x(pair(fakes.x, y))))
