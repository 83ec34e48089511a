"""Generators that begin as the linear colour map between their domains.

A generator of random weights may take any correspondence of colours: to the cycle loss the exchange of two classes
(land for sea) costs nothing. So both generators first learn the optimal transport between Gaussian distributions of
the domains' colours: linear, symmetric, positive definite, and the inverse of the other direction's. It needs no pairs.

Source: Pitie, Kokaram, "The Linear Monge-Kantorovitch Linear Colour Mapping for Example-Based Colour Transfer", 2007.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.config import Direction
from unpaired.core.errors import BadInput
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.methods.batch import Batch
from unpaired.training.concurrency import half_of_the_threads
from unpaired.training.trainer import Trainer

RATE = 5.0
"""Learning rate of this phase over that of training."""
RIDGE = 1e-4
"""Added to variances, on images in [-1, 1]: a channel may be constant."""


@dataclass
class ColourMoments:
    """Sums over pixels of a domain, in float64: their number, their values, their products."""

    count: Tensor
    total: Float[Tensor, " c"]
    products: Float[Tensor, "c c"]

    @classmethod
    def none(cls, channels: int) -> ColourMoments:
        """Of no pixel."""
        return cls(*(torch.zeros(shape, dtype=torch.float64) for shape in ((), (channels,), (channels, channels))))

    def add(self, images: Images) -> None:
        """Take in the pixels of a batch (b, c, h, w)."""
        pixels = images.detach().cpu().double().transpose(0, 1).flatten(1)  # MPS has no float64
        self.count += pixels.shape[1]
        self.total += pixels.sum(1)
        self.products += pixels @ pixels.T

    def mean(self) -> Tensor:
        """Mean colour, (c,)."""
        return self.total / self.count

    def covariance(self) -> Tensor:
        """Covariance of the channels, (c, c), with `RIDGE` on its diagonal."""
        mean = self.mean()
        return self.products / self.count - torch.outer(mean, mean) + RIDGE * torch.eye(len(mean), dtype=torch.float64)


@dataclass(frozen=True)
class ColourMap:
    """x -> matrix (x - source) + target, cut off at the range of images."""

    matrix: Float[Tensor, "c c"]
    source: Float[Tensor, " c"]
    target: Float[Tensor, " c"]

    def __call__(self, images: Images) -> Images:
        """Images (b, c, h, w) in [-1, 1] with the colours of the other domain."""
        matrix, source, target = (each.to(images) for each in (self.matrix, self.source, self.target))
        moved = torch.einsum("dc,bchw->bdhw", matrix, images - source[:, None, None]) + target[:, None, None]
        return moved.clamp(-1, 1)


def colour_map(source: ColourMoments, target: ColourMoments) -> ColourMap:
    """The optimal transport between Gaussians of these moments.

    T = A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2) for covariances A of the source and B of the target, so T A T = B.
    """
    a, b = source.covariance(), target.covariance()
    root, inverse = _power(a, 0.5), _power(a, -0.5)
    return ColourMap(inverse @ _power(root @ b @ root, 0.5) @ inverse, source.mean(), target.mean())


def colour_start(trainer: Trainer, batches: Callable[[], Iterable[Batch]]) -> None:
    """Train the generators, and their moving averages, to be the colour maps between the domains of these batches.

    `batches` gives the same ones twice: for the colours of the domains, then to train on. Training itself starts with
    fresh optimizers. All processes end with the same weights. Raises BadInput for domains of different channels.
    """
    generators, engine = trainer.method.translators, trainer.engine
    with half_of_the_threads():
        forward, backward = _colour_maps(trainer, batches())
    parameters = [parameter for network in generators.values() for parameter in network.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=RATE * trainer.optim.lr)
    seen: set[tuple[torch.Size, torch.Size]] = set()

    def part(way: Direction, batch: Batch) -> tuple[Tensor, Sequence[Tensor | None]]:
        images, mapped = (batch.x, forward) if way == "AtoB" else (batch.y, backward)
        with engine.precision():
            fake = generators[way](images)
        loss = l1(fake, mapped(images))
        return loss.detach(), torch.autograd.grad(loss, [*generators[way].parameters()], allow_unused=True)

    for batch in batches():
        optimizer.zero_grad(set_to_none=True)
        shapes = batch.x.shape, batch.y.shape
        parts = engine.runner(shapes in seen)([partial(part, way, batch) for way in generators])
        seen.add(shapes)
        for network, (_, found) in zip(generators.values(), parts, strict=True):
            for parameter, gradient in zip(network.parameters(), found, strict=True):
                if gradient is not None:  # networks may share parameters
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        engine.processes.average_(gradients, torch.stack([loss for loss, _ in parts]).sum())
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    trainer.start_from(generators)


def _colour_maps(trainer: Trainer, batches: Iterable[Batch]) -> tuple[ColourMap, ColourMap]:
    """From A to B and from B to A."""
    x = y = None
    for batch in batches:
        channels_x, channels_y = batch.x.shape[1], batch.y.shape[1]
        if channels_x != channels_y:
            raise BadInput(f"optim.colour_start needs domains of equal channels, got {channels_x} and {channels_y}")
        x, y = x or ColourMoments.none(channels_x), y or ColourMoments.none(channels_y)
        x.add(batch.x)
        y.add(batch.y)
    if x is None or y is None:
        raise BadInput("optim.colour_start needs at least one step")
    mean = trainer.engine.processes.mean
    x, y = (ColourMoments(mean(each.count), mean(each.total), mean(each.products)) for each in (x, y))
    return colour_map(x, y), colour_map(y, x)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp_min(1e-9) ** exponent) @ vectors.T
