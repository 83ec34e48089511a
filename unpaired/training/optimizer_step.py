"""One step of an optimiser, taken only if every gradient in every process is finite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from types import TracebackType

import torch
from torch import Tensor

from unpaired.core.parallel import both, halved
from unpaired.methods import Terms
from unpaired.training.graphs import halves
from unpaired.training.processes import Processes


class NotFinite(Exception):
    """A term or a gradient is NaN or infinite; the weights have not been touched."""

    def __init__(self, step: int, terms: Mapping[str, Tensor]) -> None:
        super().__init__(step)
        self.step = step
        """The step it happened in, counted from 1."""
        self.broken = [name for name, term in terms.items() if not bool(term.isfinite())]
        """The terms of this process that are not finite; none where only a gradient is."""
        self.players = "generators" if any(name.startswith("gan") for name in terms) else "discriminators"


class PendingChecks:
    """Whether the last descents were sound, not yet asked of the device: asking would wait for it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Tensor, int, Terms]] = []

    def check_pending(self, keep: int = 0) -> None:
        """Ask of all but the last `keep` descents.

        Raises:
            NotFinite: one was not sound; its optimiser has left the weights as they were.
        """
        while len(self.waiting) > keep:
            health, step, terms = self.waiting.pop(0)
            if not bool(health.isfinite()):
                raise NotFinite(step, terms)


class OptimizerStep:
    """Gathers the gradients of a step's parts; on leaving, averages them over the processes and follows them.

    Where asking the device costs nothing, a gradient that is not finite raises there and then. On CUDA the answer
    stays on the device, where Adam's fused kernel reads it (`found_inf`) and leaves the weights alone, and the host
    asks one step later.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer | None,
        processes: Processes,
        pending: PendingChecks | None,
        step: int,
        abreast: bool = False,
    ) -> None:
        """A descent with no optimizer only collects terms; `pending` takes the answers not waited for.

        `abreast`: what shares nothing but weights is followed back at the same time.
        """
        self.optimizer, self.processes, self.pending, self.step = optimizer, processes, pending, step
        self.abreast = abreast
        self.terms: Terms = {}
        """Every term, the parts weighted and added."""

    def __enter__(self) -> OptimizerStep:
        if self.optimizer is not None:
            self.optimizer.zero_grad(set_to_none=True)  # of a descent that was broken off
        return self

    def add(self, terms: Terms, share: float = 1.0) -> None:
        """Add the gradient of the sum of the terms, weighted by the part's share of the step's images."""
        if self.optimizer is not None:
            # a gradient of two summands is the same whichever comes first; with that of a part before, it would not be
            one, other = halves(terms.values()) if self.abreast and not self.terms else (terms.values(), [])
            if other:
                both(lambda: _follow_back(one, share), lambda: _follow_back(other, share))
            else:
                _follow_back(one, share)
        for name, term in terms.items():
            part = term.detach() if share == 1 else share * term.detach()
            self.terms[name] = self.terms[name] + part if name in self.terms else part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.optimizer is not None:
            # threads that were called up for a moment go on waiting for more where the next pass wants to run
            with halved() if self.abreast else nullcontext():
                self._follow(self.optimizer)

    def _follow(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        health = sum(self.terms.values()) + torch.nn.utils.get_total_norm(gradients)
        health = self.processes.average_(gradients, health)
        if self.pending is None:
            if not bool(health.isfinite()):
                raise NotFinite(self.step, self.terms)
        else:
            optimizer.found_inf = (~health.isfinite()).float()  # pyright: ignore[reportAttributeAccessIssue]
            self.pending.waiting.append((health, self.step, self.terms))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # the other player's passes go into their room


def _follow_back(terms: Iterable[Tensor], share: float) -> None:
    loss = torch.stack(list(terms)).sum()
    (loss if share == 1 else share * loss).backward()
