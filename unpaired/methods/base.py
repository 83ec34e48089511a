"""What a method is: its players and the terms each side minimises. Nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from unpaired.config import Direction
from unpaired.core.parallel import both
from unpaired.imaging.images import Images
from unpaired.losses.adversarial import Scalar
from unpaired.methods.history import History
from unpaired.models import Discriminator, Generator

First = TypeVar("First")
Second = TypeVar("Second")
Terms = dict[str, Scalar]
"""The weighted terms of a loss by name: they are summed, and they are logged."""


@dataclass(frozen=True)
class Fakes:
    """Translations of one step, without gradient: x = F(y), y = G(x)."""

    x: Images
    y: Images


class Method(nn.Module, ABC):
    """Players and their terms; no optimiser, device, precision, logger or file."""

    masked = False
    """Whether it can be trained with masks: it has `masked_losses`."""
    joined = False
    """Whether passes of one network may run as one batch: the same maths in another order of rounding."""
    abreast = False
    """Whether passes that need nothing of each other run at the same time, on half of the CPU each."""

    @property
    @abstractmethod
    def generators(self) -> Mapping[str, nn.Module]:
        """What minimises `generator_losses`, by name."""

    @property
    @abstractmethod
    def discriminators(self) -> Mapping[str, nn.Module]:
        """What minimises `discriminator_losses`, by name."""

    @property
    @abstractmethod
    def histories(self) -> Mapping[str, History]:
        """What the discriminators remember, by name."""

    @property
    @abstractmethod
    def translators(self) -> Mapping[Direction, Generator]:
        """The network of each direction that this method learns."""

    @abstractmethod
    def generator_losses(self, x: Images, y: Images) -> tuple[Terms, Fakes]:
        """What the generators minimise on a batch of X and one of Y, and their translations."""

    def masked_losses(self, x: Images, y: Images, masks: tuple[Images, Images]) -> tuple[Terms, Fakes]:
        """`generator_losses` where only the inside of the masks of X and Y, 1 there and 0 outside, is translated."""
        raise NotImplementedError(f"{type(self).__name__} takes no masks")

    def paired_losses(self, x: Images, y: Images) -> Terms:
        """What the generators minimise besides on aligned pairs, where a data set has some; nothing unless said."""
        return {}

    @abstractmethod
    def discriminator_losses(self, x: Images, y: Images, fakes: Fakes) -> Terms:
        """What the discriminators minimise, given the translations of the same step."""

    def each(self, network: Generator | Discriminator, *batches: Tensor) -> Sequence[Tensor]:
        """The network on every batch, in one pass where that is allowed and gives the same."""
        if self.joined and network.per_image and len({batch.shape[1:] for batch in batches}) == 1:
            return network(torch.cat(batches)).split([len(batch) for batch in batches])
        return [network(batch) for batch in batches]

    def both(self, first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
        """Two passes that need nothing of each other, at the same time where that is allowed."""
        return both(first, second) if self.abreast else (first(), second())
