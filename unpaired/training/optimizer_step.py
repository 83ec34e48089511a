"""One step of an optimiser, taken only if every gradient in every process is finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unpaired.methods import Losses
from unpaired.training.adam import Adam
from unpaired.training.processes import Processes

Gradients = Sequence[Tensor | None]
"""Of an optimiser's parameters, in their order; None where a loss does not depend on one."""


class NotFinite(Exception):
    """A loss or gradient of `networks` (generators or discriminators) is NaN or infinite; no weight has changed."""

    def __init__(self, step: int, networks: str, losses: Mapping[str, Tensor]) -> None:
        super().__init__(step)
        self.step, self.networks = step, networks
        """The step is counted from 1."""
        self.broken = [name for name, loss in losses.items() if not bool(loss.isfinite())]
        """The losses of this process that are not finite; none where only a gradient is."""


class PendingChecks:
    """Finite-gradient checks of the last steps, on their way from the device."""

    def __init__(self) -> None:
        self.waiting: list[tuple[OnItsWay, int, str, Losses]] = []

    def add(self, health: Tensor, step: int, networks: str, losses: Losses) -> None:
        """Keep the sum of losses and gradient norm of one optimiser's step."""
        self.waiting.append((OnItsWay(health), step, networks, losses))

    def check(self, keep: int = 0) -> None:
        """Read all but the last `keep`; raises NotFinite for one, whose optimiser has left the weights unchanged."""
        while len(self.waiting) > keep:
            health, step, networks, losses = self.waiting.pop(0)
            if not math.isfinite(health.read()):
                raise NotFinite(step, networks, losses)


class OnItsWay:
    """A scalar copied to the host at once: a read from the device would wait for every later step that is queued."""

    def __init__(self, value: Tensor) -> None:
        self.host, self.done = value.detach(), None
        if value.is_cuda:
            self.host = torch.empty((), dtype=value.dtype, pin_memory=True).copy_(self.host, non_blocking=True)
            self.done = torch.cuda.current_stream(value.device).record_event()

    def read(self) -> float:
        """Its value."""
        if self.done is not None:
            self.done.synchronize()
        return float(self.host)


class OptimizerStep:
    """Gathers losses and gradients of a step's parts; `finish` averages them over the processes and updates.

    Where reading from the device costs nothing, a gradient that is not finite raises there and then. On CUDA the
    check stays on the device, where Adam's fused kernel reads it (`found_inf`) and leaves the weights unchanged.
    """

    def __init__(self, optimizer: Adam | None, processes: Processes) -> None:
        """With no optimizer the step only collects losses."""
        self.optimizer, self.processes = optimizer, processes
        self.parameters = optimizer.given if optimizer is not None else []
        self.gradients: list[Tensor | None] = [None] * len(self.parameters)
        self.losses: Losses = {}
        """Every loss, its parts weighted and added."""

    def add(self, losses: Losses, gradients: Gradients, weight: float = 1.0) -> None:
        """Add a part's losses, weighted here, and its gradients, which are weighted already."""
        for name, loss in losses.items():
            part = loss if weight == 1 else weight * loss
            self.losses[name] = self.losses[name] + part if name in self.losses else part
        self.gradients = _sum(self.gradients, gradients)

    def health(self) -> Tensor:
        """Sum of the losses and the norm of the gradients, of all processes: finite if each of them is."""
        found = [gradient for gradient in self.gradients if gradient is not None]
        health = sum(self.losses.values()) + torch.nn.utils.get_total_norm(found)
        return self.processes.average_(found, health)

    def update(self, health: Tensor, on_device: bool) -> None:
        """Follow the gradients; with `on_device` the optimiser itself does not where `health` is not finite."""
        optimizer = self.optimizer
        assert optimizer is not None
        if on_device:
            optimizer.found_inf = (~health.isfinite()).float()  # pyright: ignore[reportAttributeAccessIssue]
        optimizer.follow(self.gradients)
        self.gradients = []


def _sum(sums: list[Tensor | None], gradients: Gradients) -> list[Tensor | None]:
    """Out of place: autograd may give one tensor for two parameters."""
    added = [(a, b) for a, b in zip(sums, gradients, strict=True) if a is not None and b is not None]
    totals = iter(torch._foreach_add(*zip(*added, strict=True)) if added else ())  # pyright: ignore
    return [b if a is None else a if b is None else next(totals) for a, b in zip(sums, gradients, strict=True)]
