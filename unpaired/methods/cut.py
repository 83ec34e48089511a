"""CUT and FastCUT (Park, Efros, Zhang, Zhu, ECCV 2020, arXiv:2007.15651): one direction, no way back.

A place of the translation must match the same place of the input better than other places of the input, by features of
the generator's own encoder. That takes the place of the cycle, so there is no F and no D_X.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from unpaired.config import Direction
from unpaired.config.methods import CUTConfig
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import ADVERSARIAL, Scalar
from unpaired.losses.patchnce import draw_places, features_at, patch_nce
from unpaired.methods.base import Fakes, Losses, LossFunction, Method, discriminator_losses, forward_many
from unpaired.methods.batch import Batch
from unpaired.methods.choices import Choices, augmented
from unpaired.models import Generator, build_discriminator, build_generator
from unpaired.models.projection import ProjectionHead


class CUT(Method):
    """L(G, D_Y, H) = L_GAN(G, D_Y) + lambda L_PatchNCE(G, H, X) + lambda L_PatchNCE(G, H, Y)   (Eq. 5).

    X is the domain translated from: A, or B with `direction` BtoA. H holds one projection head per compared layer. With
    the identity term, both PatchNCE terms are halved, as in the authors' code. FastCUT: lambda 10, no identity term,
    flip equivariance.
    """

    discriminators_first = True

    def __init__(self, cfg: CUTConfig, channels: tuple[int, int]) -> None:
        x, y = channels
        if x != y:
            raise ValueError(
                f"method.name cut compares features of x and of G(x) by one encoder, which needs equal channels, got "
                f"{x} and {y}; take another method.name"
            )
        super().__init__()
        self.cfg = cfg
        self.G = build_generator(cfg.generator, x, y)
        self.D_Y = build_discriminator(cfg.discriminator, y, twice=cfg.r1_weight > 0)
        self.layers = tuple(self.G.encoder)
        """The compared layers of G."""
        as_G = cfg.generator.init, cfg.generator.init_gain
        self.heads = nn.ModuleList(ProjectionHead(count, *as_G) for count in self.G.encoder.values())
        self.loss = ADVERSARIAL[cfg.adversarial]
        self.drawn = Choices()  # flips, the places compared, and augmentations

    def generator_losses(self, batch: Batch) -> list[LossFunction]:
        """One function: all losses read the same translations."""
        return [partial(self._losses, *self._domains(batch))]

    def translations(self, batch: Batch) -> Fakes:
        """G(x), of mirrored images where flip equivariance draws that."""
        x, _ = self._domains(batch)
        return {"G": self.G(_mirror(x, self._draw_flip(x.device)))}

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> list[LossFunction]:
        """D_Y on real images and on the translations of the same step."""
        _, y = self._domains(batch)
        return [partial(self._discriminate, y, fakes["G"])]

    def contrast(self, source: Images, target: Images, flip: Tensor | None = None) -> Scalar:
        """PatchNCE of a translation `target` and its input, the mean over the compared layers (Eq. 3).

        Where `flip` is true, `target` was made of the mirrored input: its features are mirrored back.
        """
        with torch.no_grad():
            keys = self.G.features(source, self.layers)
        queries = [_mirror(query, flip) for query in self.G.features(target, self.layers)]
        losses = []
        for head, query, key in zip(self.heads, queries, keys, strict=True):
            size = key.shape[2], key.shape[3]
            places = self.drawn("places", size, partial(draw_places, self.cfg.patches, size), key.device)
            with torch.no_grad():
                positives = head(features_at(key, places))
            losses.append(patch_nce(head(features_at(query, places)), positives, self.cfg.temperature))
        return torch.stack(losses).mean()

    def _losses(self, x: Images, y: Images) -> tuple[Losses, Fakes]:
        cfg, losses, flip = self.cfg, Losses(), self._draw_flip(x.device)
        seen = [x, y] if cfg.identity and cfg.nce_weight else [x]
        fake, *same = forward_many(self.G, *(_mirror(images, flip) for images in seen))
        if cfg.gan_weight:
            losses["gan/G"] = cfg.gan_weight * self.loss.generator(self.D_Y(*self._shown("G", fake)))
        for domain, source, target in zip("XY", seen, [fake, *same], strict=False):
            if cfg.nce_weight:
                losses[f"nce/{domain}"] = cfg.nce_weight / len(seen) * self.contrast(source, target, flip)
        return losses, {"G": fake.detach()}

    def _discriminate(self, real: Images, fake: Images) -> tuple[Losses, Fakes]:
        shown = self._shown("D_Y", real, fake)
        return discriminator_losses(self.loss, self.cfg.r1_weight, "Y", self.D_Y, *shown), {}

    def _shown(self, name: str, *images: Images) -> Sequence[Images]:
        """Images as D_Y is shown them; `name` says whose loss it is."""
        return augmented(self.drawn, name, self.cfg.augment, *images)

    def _domains(self, batch: Batch) -> tuple[Images, Images]:
        """Images of the domain translated from, and of the other."""
        return (batch.x, batch.y) if self.cfg.direction == "AtoB" else (batch.y, batch.x)

    def _draw_flip(self, device: torch.device) -> Tensor | None:
        """Whether G sees mirrored images: half of the time with flip equivariance; None without."""
        return self.drawn("flip", (), _flip, device) if self.cfg.flip_equivariance else None

    @property
    def generators(self) -> dict[str, nn.Module]:
        """G and the projection heads, which minimise the same losses."""
        return {"G": self.G, **{f"H{layer}": head for layer, head in zip(self.layers, self.heads, strict=True)}}

    @property
    def translators(self) -> dict[Direction, Generator]:
        """One direction."""
        return {self.cfg.direction: self.G}


def _flip(random: torch.Generator) -> Tensor:
    return torch.rand((), generator=random) < 0.5


def _mirror(images: Tensor, flip: Tensor | None) -> Tensor:
    """Mirror left to right where `flip` is true; `flip` may be on a device and is not read."""
    return images if flip is None else torch.where(flip, images.flip(3), images)
