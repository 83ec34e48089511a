"""BiGAN / ALI from image to image, as the paper's baseline (CycleGAN Sec. 5.1.2; the authors' bigan_model).

Donahue, Krahenbuhl, Darrell (arXiv:1605.09782) and Dumoulin et al. (arXiv:1606.00704) match joint distributions of
(z, G(z)) and (E(y), y); here z is an image x, and the encoder E is F.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from unpaired.config import Direction
from unpaired.config.methods import BiGANConfig
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import ADVERSARIAL
from unpaired.methods.base import Fakes, Losses, LossFunction, Method, forward_many
from unpaired.methods.batch import Batch
from unpaired.methods.history import History
from unpaired.models import Generator, build_discriminator, build_generator


class BiGAN(Method):
    """min_{G,F} max_D E[log D(x, G(x))] + E[log(1 - D(F(y), y))], least squares.

    G and F minimise the discriminator's own loss with its labels exchanged, so that the two kinds of pair become alike.
    """

    def __init__(self, cfg: BiGANConfig, channels: tuple[int, int]) -> None:
        super().__init__()
        self.cfg = cfg
        x, y = channels
        self.G, self.F = build_generator(cfg.generator, x, y), build_generator(cfg.generator, y, x)
        self.D = build_discriminator(cfg.discriminator, x + y)
        self.past_forward, self.past_backward = History(cfg.history), History(cfg.history)
        self.loss = ADVERSARIAL[cfg.adversarial]

    def generator_losses(self, batch: Batch) -> list[LossFunction]:
        """One loss of both generators: each pair's label is exchanged."""
        return [partial(self.confuse, batch.x, batch.y)]

    def confuse(self, x: Images, y: Images) -> tuple[Losses, Fakes]:
        """The discriminator's loss with its labels exchanged, for (x, G(x)) and (F(y), y)."""
        fake_y, fake_x = self.G(x), self.F(y)
        forward, backward = forward_many(self.D, pair(x, fake_y), pair(fake_x, y))
        fakes = {"G": fake_y.detach(), "F": fake_x.detach()}
        return {"gan": self.loss.discriminator(backward, forward)}, fakes

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> list[LossFunction]:
        """Pairs (x, G(x)) against pairs (F(y), y), each from its history."""
        return [partial(self.discriminate, pair(batch.x, fakes["G"]), pair(fakes["F"], batch.y))]

    def discriminate(self, forward: Tensor, backward: Tensor) -> tuple[Losses, Fakes]:
        """The discriminator's loss on pairs of both kinds."""
        scores = forward_many(self.D, self.past_forward(forward), self.past_backward(backward))
        return {"discriminator": self.loss.discriminator(*scores)}, {}

    @property
    def translators(self) -> dict[Direction, Generator]:
        """G translates AtoB, F translates BtoA."""
        return {"AtoB": self.G, "BtoA": self.F}


def pair(x: Images, y: Images) -> Tensor:
    """Images of X and of Y, channels joined: (b, channels of X + channels of Y, h, w)."""
    return torch.cat([x, y], dim=1)
