"""Work at regular intervals beside the training steps: samples, validation, doctor, time estimate, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from unpaired.core.errors import BadInput
from unpaired.training.logging import RunLog, say
from unpaired.training.trainer import Trainer


@dataclass
class Context:
    """The state that monitors observe, and the places that they write to."""

    out: Path
    trainer: Trainer
    log: RunLog
    announced: set[str] = field(default_factory=set)

    def say(self, line: str, once: str = "") -> None:
        """Print a line on stderr; with `once`, only the first line of that key."""
        if not once or once not in self.announced:
            self.announced.add(once)
            say(line)


class Monitor(Protocol):
    """An observer of the training; it must not change the trainer or its random state."""

    def due(self, step: int) -> bool:
        """Whether to run after this step; 0 is before the first."""
        ...

    def run(self, step: int, context: Context, stopping: Callable[[], bool]) -> None:
        """Observe. Long work polls `stopping` and returns early when it is true."""
        ...


@dataclass(frozen=True)
class Interval:
    """Every so many steps, and after the last."""

    every: int
    total: int

    def __call__(self, step: int) -> bool:
        """Whether the step is one of them."""
        return bool(self.every) and (step % self.every == 0 or step == self.total)


class ReportWriter:
    """Rewrites the report with each sample grid, by a function of a layer above."""

    def __init__(self, write: Callable[[Path], object], interval: Interval) -> None:
        self.write, self.due = write, interval

    def run(self, step: int, context: Context, stopping: Callable[[], bool]) -> None:
        """Write; a failure is reported once and does not end the training."""
        try:
            self.write(context.out)
        except (BadInput, OSError) as error:
            context.say(f"step {step}: the report was not written ({error})", once="report")
