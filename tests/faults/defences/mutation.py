"""One defence of the code, and the test that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.faults.mutate import Change, mutated


@dataclass(frozen=True)
class Mutation:
    """A defence: where it is, what takes it out, and the test that must fail then."""

    defence: str
    """What is taken out, as the table of docs/reliability.md describes it."""
    target: str
    """Dotted name of the module, class, function or constant to change."""
    change: Change
    test: str
    """The test's id for pytest; without a parameter, any of its cases."""
    seconds: int = 300
    """A test that takes longer counts as failed: it hangs."""

    def mutated(self, root: Path) -> tuple[Path, str]:
        """The changed file and its new source."""
        return mutated(root, self.target, self.change)
