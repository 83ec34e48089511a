"""Settings of the whole test run."""

from __future__ import annotations

import json

import pytest
import torch

torch.set_num_threads(1)  # the networks here are tiny: threads would only wait for one another

PROMISES: list[str] = []


@pytest.fixture
def promise():
    """promise(name, figures): a line that `make torture` prints once the test has shown what it promises."""

    def keep(name: str, figures: dict[str, object]) -> None:
        PROMISES.append(f"{name}: {json.dumps(figures)}")

    return keep


def pytest_collection_modifyitems(items):
    """Tests that fork go first: browsers and runtimes start threads, and a fork of a process with threads may hang."""
    items.sort(key=lambda item: "faults" not in item.path.parts)


def pytest_terminal_summary(terminalreporter):
    for line in PROMISES:
        terminalreporter.write_line(line)
