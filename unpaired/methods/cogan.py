"""CoGAN (Liu and Tuzel, NIPS 2016, arXiv:1606.07536) as the paper's baseline (CycleGAN Sec. 5.1.2).

Coupled generators draw pairs of images from one latent z and share their first layers, discriminators share their
last; the paper translates by "finding a latent representation that generates image X and then rendering" it as Y.
Here encoders find it: E_X minimises |G_X(E_X(x)) - x| for the generators as they are, so that the GAN stays as
published and a translation is one pass through networks, not a search per image.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unpaired.config import Direction
from unpaired.config.methods import CoGANConfig
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import ADVERSARIAL
from unpaired.losses.cycle import l1
from unpaired.methods.base import Fakes, Losses, LossFunction, Method
from unpaired.methods.batch import Batch
from unpaired.models import Generator
from unpaired.models.coupled import Rendering, encoder, own_layers, shared_layers
from unpaired.models.init import initialise
from unpaired.models.patchgan import PatchGAN

FIRST = 2
"""Layers of a discriminator that each domain has for itself: a convolution and its activation."""


class CoGAN(Method):
    """max_{G} min_{D} V: x^ = G_X(G(z)) and y^ = G_Y(G(z)) for z ~ U(-1, 1), scored by D(D_X(.)) and D(D_Y(.)).

    G holds the tied layers of the generators, D those of the discriminators; X to Y is G_Y(G(E_X(x))).
    """

    def __init__(self, cfg: CoGANConfig, channels: tuple[int, int]) -> None:
        super().__init__()
        self.cfg = cfg
        x, y = channels
        self.G = shared_layers(cfg.generator)
        self.G_X, self.G_Y = own_layers(cfg.generator, x), own_layers(cfg.generator, y)
        self.E_X, self.E_Y = encoder(cfg.generator, x), encoder(cfg.generator, y)
        self.D_X, self.D_Y = PatchGAN(cfg.discriminator, x).model[:FIRST], PatchGAN(cfg.discriminator, y).model[:FIRST]
        self.D = PatchGAN(cfg.discriminator, x).model[FIRST:]
        self.loss = ADVERSARIAL[cfg.adversarial]
        for name, network in self.named_children():
            if name in self.discriminators:
                initialise(network, cfg.discriminator.init, cfg.discriminator.init_gain)
            else:
                initialise(network)

    def generator_losses(self, batch: Batch) -> list[LossFunction]:
        """A pair drawn from noise against both discriminators, and what each encoder loses there and back."""
        return [
            partial(self.draw, batch.x),
            partial(self.encode, "X", self.E_X, self.G_X, batch.x),
            partial(self.encode, "Y", self.E_Y, self.G_Y, batch.y),
        ]

    def draw(self, like: Images) -> tuple[Losses, Fakes]:
        """G_X(G(z)) and G_Y(G(z)) for as many z as there are images."""
        features = self.G(self.noise(like))
        fake_x, fake_y = self.G_X(features), self.G_Y(features)
        gan_x, gan_y = self.loss.generator(self.D(self.D_X(fake_x))), self.loss.generator(self.D(self.D_Y(fake_y)))
        return {"gan/X": gan_x, "gan/Y": gan_y}, {"G_X": fake_x.detach(), "G_Y": fake_y.detach()}

    def encode(self, domain: str, E: nn.Module, own: nn.Module, images: Images) -> tuple[Losses, Fakes]:
        """|own(G(E(x))) - x| for the encoder E; the generators get no gradient."""
        return {f"latent/{domain}": l1(self._rendered(E(images), own), images)}, {}

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> list[LossFunction]:
        """Each discriminator on real images and on the pair that was drawn."""
        return [
            partial(self.discriminate, "X", self.D_X, batch.x, fakes["G_X"]),
            partial(self.discriminate, "Y", self.D_Y, batch.y, fakes["G_Y"]),
        ]

    def discriminate(self, domain: str, own: nn.Module, real: Images, fake: Images) -> tuple[Losses, Fakes]:
        """The loss of the discriminator of a domain."""
        loss = self.loss.discriminator(self.D(own(real)), self.D(own(fake)))
        return {f"discriminator/{domain}": loss}, {}

    def noise(self, images: Images) -> Tensor:
        """As many latents as images, of their size: uniform in [-1, 1]."""
        cell = 2**self.cfg.generator.halvings
        grid = (len(images), self.cfg.generator.latent, images.shape[2] // cell, images.shape[3] // cell)
        return torch.rand(grid, device=images.device).to(images.dtype) * 2 - 1

    def _rendered(self, z: Tensor, own: nn.Module) -> Images:
        """own(G(z)) with the gradient going to z alone."""
        for network in (self.G, own):
            z = functional_call(network, {name: weight.detach() for name, weight in network.named_parameters()}, z)
        return z

    @property
    def translators(self) -> dict[Direction, Generator]:
        """The latent of an image of one domain, rendered in the other."""
        cfg = self.cfg.generator
        return {"AtoB": Rendering(cfg, self.E_X, self.G, self.G_Y), "BtoA": Rendering(cfg, self.E_Y, self.G, self.G_X)}
