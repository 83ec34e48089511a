"""SimGAN as the paper's baseline: a translation must look real and stay close to its input (CycleGAN Sec. 5.1.2).

After Shrivastava et al., CVPR 2017 (arXiv:1612.07828), whose self-regularisation |x - G(x)| keeps what the input shows.
"""

from __future__ import annotations

from unpaired.config.methods import SimGANConfig
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.losses.masks import Masks
from unpaired.methods.base import Losses
from unpaired.methods.twoway import TwoWay
from unpaired.models import Discriminator, Generator


class SimGAN(TwoWay):
    """L(G, D_Y) = L_GAN(G, D_Y) + lambda |x - G(x)|_1, and the same for F, independently."""

    def __init__(self, cfg: SimGANConfig, channels: tuple[int, int]) -> None:
        if channels[0] != channels[1]:
            raise ValueError(
                f"method.content_weight compares G(x) with x, which needs equal channels, got {channels[0]} and "
                f"{channels[1]}; take another method.name"
            )
        super().__init__(cfg, channels)
        self.cfg = cfg

    def direction(
        self, G: Generator, F: Generator, D: Discriminator, x: Images, y: Images, mask: Masks | None
    ) -> tuple[Losses, Images]:
        """Adversarial loss and self-regularisation of G."""
        fake = G(x)
        return {"gan": self.loss.generator(D(fake)), "content": self.cfg.content_weight * l1(fake, x)}, fake
