"""Settings of the whole test run, its tiers, and the promises that `make torture` prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from tests import tiers

torch.set_num_threads(1)  # the networks here are tiny: threads would only wait for one another


@dataclass
class Shown:
    """What the tests of one promise have shown."""

    figures: list[str] = field(default_factory=list)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0

    def cell(self) -> str:
        """The figures; first of all that something failed."""
        words = [f"**{self.failed} tests failed**"] * bool(self.failed) + self.figures
        return "; ".join(words) or ("every test passed" if self.passed else "**no test was run**")

    def count(self) -> str:
        """How many tests, and their seconds."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed}{skipped}, {self.seconds:.0f} s"


PROMISES = {
    name: Shown()
    for name in (
        "exact resume",
        "safe checkpoints",
        "kill storm",
        "stop on request",
        "finite numbers",
        "several processes",
        "determinism",
        "hostile images",
        "hostile weights and archives",
    )
}
"""The nine of docs/reliability.md, by the name that `@pytest.mark.promise(...)` gives."""


@pytest.fixture
def promise(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """promise(figures): words for the line of the promise that the test belongs to."""
    marker = request.node.get_closest_marker("promise")
    return PROMISES[marker.args[0]].figures.append


def pytest_addoption(parser):
    parser.addoption("--tier", choices=tiers.TIERS, help="only the tests of this tier, see tests/tiers.py")


def pytest_configure(config):
    if config.option.tier == "fast":
        tiers.watch_processes()


def pytest_ignore_collect(collection_path, config):
    return True if config.option.tier and tiers.left_out(collection_path, config.option.tier) else None


def pytest_collection_modifyitems(config, items):
    """Tests that fork go first: browsers and runtimes start threads, and a fork of a process with threads may hang."""
    items.sort(key=lambda item: "faults" not in item.path.parts)
    for item in items:
        if marker := item.get_closest_marker("promise"):
            assert marker.args[0] in PROMISES, f"{item.nodeid}: no promise is called {marker.args[0]}"
            item.user_properties.append(("promise", marker.args[0]))
    if config.option.tier == "fast":
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from tiers.in_budget(item)) if item.config.option.tier == "fast" else (yield)


def pytest_runtest_logreport(report):
    name = dict(report.user_properties).get("promise")
    if name is None:
        return
    shown = PROMISES[name]
    shown.seconds += report.duration
    shown.passed += report.when == "call" and report.passed
    shown.failed += report.failed
    shown.skipped += report.skipped


def pytest_terminal_summary(terminalreporter, config):
    """One line for each promise, as docs/reliability.md holds them, where the promises were asked for."""
    if "promise" not in config.option.markexpr:
        return
    terminalreporter.write_line("\n| promise | figures | tests |\n|---|---|---|")
    for name, shown in PROMISES.items():
        terminalreporter.write_line(f"| {name} | {shown.cell()} | {shown.count()} |")
