"""Random choices of a step that the host makes: drawn before the step, which reads them from the device."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import partial

import torch
from torch import Tensor

from unpaired.config.methods import augmentations
from unpaired.core.device import copy_to
from unpaired.losses.augment import augment, draw_numbers

Draw = Callable[[torch.Generator], Tensor]
"""Makes a choice from a generator on the CPU."""


class Choices:
    """A method's own random choices, such as the places that PatchNCE compares.

    A choice has a name and a number, counted by name within a pass. It depends on the step's seed, its name and its
    number alone. Those that the last step made are drawn again by `plan`, into the same memory of the device, so that a
    recorded step reads new ones.
    """

    def __init__(self) -> None:
        """The seeds of the steps follow from torch's global generator."""
        self.random = torch.Generator().manual_seed(int(torch.randint(2**62, (), device="cpu")))
        self._seed = 0
        self._calls = Counter[str]()
        self._known: dict[tuple[str, int], tuple[Hashable, Draw, Tensor]] = {}
        self._buffers: dict[tuple[str, int, torch.Size], Tensor] = {}
        self._as_planned = False

    def plan(self, sizes: Sequence[int], device: torch.device, keep: bool = True) -> None:
        """Draw a step's choices; the arguments are those of `History.plan`, on which nothing here depends."""
        self._seed = int(torch.randint(2**62, (), generator=self.random))
        self.plan_is_static, self._as_planned = self._as_planned, True
        self.rewind()
        for (name, number), (_, draw, buffer) in self._known.items():
            copy_to(buffer, draw(self._generator(name, number)))

    plan_is_static = False
    """Whether a recorded step makes the planned choices: the last one written out made no others."""

    def rewind(self) -> None:
        """Count from 0 again: a second pass of the step makes the choices of the first."""
        self._calls.clear()

    def __call__(self, name: str, size: Hashable, draw: Draw, device: torch.device) -> Tensor:
        """The next choice of this name, on the device; `size` is all that `draw` depends on beside the generator."""
        key = name, self._calls[name]
        self._calls[name] += 1
        if key in self._known and self._known[key][0] == size:
            return self._known[key][2]
        self._as_planned = False
        drawn = draw(self._generator(*key))
        buffer = self._buffers.setdefault((*key, drawn.shape), torch.empty_like(drawn, device=device))
        copy_to(buffer, drawn)
        self._known[key] = size, draw, buffer
        return buffer

    def _generator(self, name: str, number: int) -> torch.Generator:
        return torch.Generator().manual_seed((self._seed + zlib.crc32(f"{name} {number}".encode()) * 2**31) % 2**62)

    def state(self) -> dict[str, Tensor]:
        """What decides the choices of the next steps."""
        return {"random": self.random.get_state()}

    def load(self, state: dict[str, Tensor], device: torch.device | None = None) -> None:
        """Resume from a `state()`."""
        self.random.set_state(state["random"])


def augmented(choices: Choices | None, name: str, augment_with: str, *batches: Tensor) -> Sequence[Tensor]:
    """Every batch as a discriminator is shown it: the k-th images of all batches are changed by the same numbers.

    The images are in [-1, 1]; each loss has its own `name`. Where the setting `augment_with` is empty, the batches are
    returned.
    """
    policy = augmentations(augment_with)
    if not policy:
        return batches
    assert choices is not None
    count = max(len(batch) for batch in batches)
    numbers = choices(f"augment {name}", count, partial(draw_numbers, count), batches[0].device)
    return [augment(batch, numbers[: len(batch)], policy) for batch in batches]
