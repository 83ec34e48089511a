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
    """Networks, histories and random choices, each an attribute, and losses; no optimiser, precision, logger or file.

    A method is made of its settings and `channels` = (channels of X, channels of Y), with fresh networks. Every network
    that is an attribute is trained; a frozen one stands elsewhere, or `generators` is overridden.
    """

    masked = False
    """Whether it can be trained with masks; of the class, since settings are checked without networks."""
    discriminators_first = False
    """Whether a step updates the discriminators before the generators: it then has `translations`."""

    @property
    def generators(self) -> dict[str, nn.Module]:
        """The networks that minimise `generator_losses`, by attribute: all but the discriminators."""
        return {name: network for name, network in self.named_children() if not name.startswith("D")}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        """The networks that minimise `discriminator_losses`: those whose attribute begins with D, as in the papers."""
        return {name: network for name, network in self.named_children() if name.startswith("D")}

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Generators and discriminators."""
        return self.generators | self.discriminators

    @property
    def planned(self) -> dict[str, History | Choices]:
        """What makes random choices on the host before a step, by attribute: past translations, and other choices."""
        return {name: each for name, each in vars(self).items() if isinstance(each, History | Choices)}

    @property
    @abstractmethod
    def translators(self) -> Mapping[Direction, Generator]:
        """The network of each direction that this method learns."""

    @abstractmethod
    def generator_losses(self, batch: Batch) -> Sequence[LossFunction]:
        """The losses of the generators on a batch, in independent parts."""

    def paired_losses(self, x: Images, y: Images) -> Sequence[LossFunction]:
        """Further losses of the generators on aligned images; none by default."""
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
    """The losses of the discriminator D of a domain, X or Y: adversarial (Eq. 1), and R1 unless its weight is 0.

    Real images and translations (without gradient) are those that D is shown, augmented or not: R1 differentiates by
    the real ones.
    """
    real = real.detach().requires_grad_() if r1_weight else real
    real_scores, fake_scores = forward_many(D, real, fake)
    losses = {f"discriminator/{domain}": loss.discriminator(real_scores, fake_scores)}
    if r1_weight:
        losses[f"r1/{domain}"] = r1_weight * r1(real_scores, real)
    return losses


def compute_losses(functions: Sequence[LossFunction]) -> tuple[Losses, Fakes]:
    """The losses and translations of all functions, one after another."""
    losses, fakes = Losses(), Fakes()
    for function in functions:
        named, made = function()
        losses |= named
        fakes |= made
    return losses, fakes
