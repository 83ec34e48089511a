"""BiGAN / ALI from image to image, as the paper's baseline (CycleGAN Sec. 5.1.2; the authors' bigan_model).

Donahue, Krahenbuhl, Darrell (arXiv:1605.09782) and Dumoulin et al. (arXiv:1606.00704) match joint distributions of
(z, G(z)) and (E(y), y); here z is an image x, and the encoder E is F.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unpaired.config import Direction
from unpaired.config.methods import BiGANConfig
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import ADVERSARIAL
from unpaired.methods.base import Fakes, Method, Terms
from unpaired.methods.history import History
from unpaired.models import Discriminator, Generator, build_discriminator, build_generator


class BiGAN(Method):
    """min_{G,F} max_D E[log D(x, G(x))] + E[log(1 - D(F(y), y))], least squares.

    G and F minimise the discriminator's own loss with its answers exchanged, so that the two kinds of pair become one.
    """

    def __init__(self, cfg: BiGANConfig, channels: tuple[int, int]) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y)."""
        super().__init__()
        self.cfg = cfg
        x, y = channels
        self.G, self.F = build_generator(cfg.generator, x, y), build_generator(cfg.generator, y, x)
        self.D = build_discriminator(cfg.discriminator, x + y)
        self.past_forward, self.past_backward = History(cfg.history), History(cfg.history)
        self.loss = ADVERSARIAL[cfg.adversarial]

    def generator_losses(self, x: Images, y: Images) -> tuple[Terms, Fakes]:
        """Both generators against the discriminator."""
        fake_y, fake_x = self.both(lambda: self.G(x), lambda: self.F(y))
        forward, backward = self.each(self.D, pair(x, fake_y), pair(fake_x, y))
        return {"gan": self.loss.discriminator(backward, forward)}, Fakes(x=fake_x.detach(), y=fake_y.detach())

    def discriminator_losses(self, x: Images, y: Images, fakes: Fakes) -> Terms:
        """Pairs (x, G(x)) against pairs (F(y), y), each out of its history."""
        forward = self.past_forward(pair(x, fakes.y))
        backward = self.past_backward(pair(fakes.x, y))
        return {"discriminator": self.loss.discriminator(*self.each(self.D, forward, backward))}

    @property
    def generators(self) -> dict[str, Generator]:
        """G and F."""
        return {"G": self.G, "F": self.F}

    @property
    def discriminators(self) -> dict[str, Discriminator]:
        """D of pairs."""
        return {"D": self.D}

    @property
    def histories(self) -> dict[str, History]:
        """Past pairs of either kind."""
        return {"forward": self.past_forward, "backward": self.past_backward}

    @property
    def translators(self) -> dict[Direction, Generator]:
        """G translates AtoB, F translates BtoA."""
        return {"AtoB": self.G, "BtoA": self.F}


def pair(x: Images, y: Images) -> Tensor:
    """An image of X and one of Y laid on each other, (b, channels of X + channels of Y, h, w)."""
    return torch.cat([x, y], dim=1)
