"""A translator whose right answers are known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch

from unpaired.config import DataConfig
from unpaired.imaging.values import Domain


@dataclass(frozen=True)
class Rule:
    """A translator whose right answers are known: one function per direction."""

    rules: dict[str, Callable[[torch.Tensor], torch.Tensor]]
    direction: str = "AtoB"
    channels_in: int = 3
    channels_out: int = 3
    bundle: None = None
    data: DataConfig = DataConfig()
    device: torch.device = torch.device("cpu")
    scale: str = "own"

    @property
    def runtime(self) -> SimpleNamespace:
        return SimpleNamespace(label="a rule")

    @property
    def domain_in(self) -> Domain:
        return Domain(self.channels_in)

    @property
    def domain_out(self) -> Domain:
        return Domain(self.channels_out)

    @property
    def directions(self) -> tuple[str, ...]:
        return tuple(self.rules)

    def to(self, direction: str) -> "Rule":
        return replace(self, direction=direction)

    def at(self, scale: str) -> "Rule":
        return replace(self, scale=scale)

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def translate(self, images: torch.Tensor) -> torch.Tensor:
        return self.rules[self.direction](images)


INVERSE = Rule({"AtoB": torch.neg, "BtoA": torch.neg})
