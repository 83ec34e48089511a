"""The interface of a method: its networks and the losses that they minimise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from unpaired.config import Direction
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import Adversarial, Scalar
from unpaired.losses.gradient_penalty import r1
from unpaired.methods.batch import Batch
from unpaired.methods.choices import Choices
from unpaired.methods.history import History
from unpaired.models import Discriminator, Generator

Losses = dict[str, Scalar]
"""The weighted losses by name: their sum is minimised, and they are logged."""
Fakes = dict[str, Images]
"""Translations of one step by the generator that made them, without gradient."""
LossFunction = Callable[[], tuple[Losses, Fakes]]
"""Computes losses and translations; two such functions share nothing but the weights of networks."""


class Method(nn.Module, ABC):
    """Networks and their losses; no optimiser, device, precision, logger or file."""

    masked = False
    """Whether it can be trained with masks."""
    discriminators_first = False
    """Whether a step updates the discriminators before the generators: it then has `translations`."""

    @property
    @abstractmethod
    def generators(self) -> Mapping[str, nn.Module]:
        """The networks that minimise `generator_losses`, by name."""

    @property
    @abstractmethod
    def discriminators(self) -> Mapping[str, nn.Module]:
        """The networks that minimise `discriminator_losses`, by name."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Generators and discriminators."""
        return {**self.generators, **self.discriminators}

    @property
    @abstractmethod
    def histories(self) -> Mapping[str, History]:
        """Past translations that the discriminators are shown, by name."""

    @property
    def choices(self) -> Mapping[str, Choices]:
        """Its other random choices that the host makes, by name."""
        return {}

    @property
    @abstractmethod
    def translators(self) -> Mapping[Direction, Generator]:
        """The network of each direction that this method learns."""

    @abstractmethod
    def generator_losses(self, batch: Batch) -> Sequence[LossFunction]:
        """The losses of the generators on a batch, in independent parts."""

    def paired_losses(self, x: Images, y: Images) -> Sequence[LossFunction]:
        """Further losses of the generators on aligned images, if a data set has some; none by default."""
        return []

    def translations(self, batch: Batch) -> Fakes:
        """The translations of `generator_losses` alone, for methods with `discriminators_first`."""
        raise NotImplementedError(f"{type(self).__name__} updates its generators first")

    @abstractmethod
    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> Sequence[LossFunction]:
        """The losses of the discriminators, given the translations of the same batch, in independent parts."""


def forward_many(network: Generator | Discriminator, *batches: Tensor) -> Sequence[Tensor]:
    """The network on every batch: in one pass where the engine allows that (`merge_passes`) and it gives the same."""
    merge = getattr(network, "merge_passes", False) and network.batch_independent
    if merge and len({batch.shape[1:] for batch in batches}) == 1:
        return network(torch.cat(batches)).split([len(batch) for batch in batches])
    return [network(batch) for batch in batches]


def discriminator_losses(
    loss: Adversarial, r1_weight: float, domain: str, D: Discriminator, real: Images, fake: Images
) -> Losses:
    """The losses of the discriminator of a domain: adversarial (Eq. 1), and R1 unless its weight is 0.

    Args:
        loss: The form of the adversarial loss.
        r1_weight: Gamma of R1.
        domain: X or Y.
        D: Its discriminator.
        real: Images of the domain as D is shown them, augmented or not: R1 differentiates by these.
        fake: Translations into the domain, without gradient, as D is shown them.
    """
    real = real.detach().requires_grad_() if r1_weight else real
    real_scores, fake_scores = forward_many(D, real, fake)
    losses = {f"discriminator/{domain}": loss.discriminator(real_scores, fake_scores)}
    if r1_weight:
        losses[f"r1/{domain}"] = r1_weight * r1(real_scores, real)
    return losses


def evaluate(functions: Sequence[LossFunction]) -> tuple[Losses, Fakes]:
    """The losses and translations of all functions, one after another."""
    losses, fakes = Losses(), Fakes()
    for function in functions:
        named, made = function()
        losses |= named
        fakes |= made
    return losses, fakes
