"""SimGAN as the paper's baseline: a translation must look real and stay near its input (CycleGAN Sec. 5.1.2).

After Shrivastava et al., CVPR 2017 (arXiv:1612.07828), whose self-regularisation |x - G(x)| keeps what the input shows.
"""

from __future__ import annotations

from unpaired.config.methods import SimGANConfig
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.methods.base import Fakes, Terms
from unpaired.methods.twoway import TwoWay


class SimGAN(TwoWay):
    """L(G, D_Y) = L_GAN(G, D_Y) + lambda |x - G(x)|_1, and the same for F; neither knows of the other."""

    def __init__(self, cfg: SimGANConfig, channels: tuple[int, int]) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y)."""
        if channels[0] != channels[1]:
            raise ValueError(
                f"method.content_weight compares G(x) with x, which needs equal channels, got {channels[0]} and "
                f"{channels[1]}; take another method.name"
            )
        super().__init__(cfg, channels)
        self.cfg = cfg

    def generator_losses(self, x: Images, y: Images) -> tuple[Terms, Fakes]:
        """Adversarial and self-regularisation terms."""
        weight = self.cfg.content_weight
        fake_y, fake_x = self.both(lambda: self.G(x), lambda: self.F(y))
        terms = {
            **self.gan_losses(fake_y, fake_x),
            "content/G": weight * l1(fake_y, x),
            "content/F": weight * l1(fake_x, y),
        }
        return terms, Fakes(x=fake_x.detach(), y=fake_y.detach())
