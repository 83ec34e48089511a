"""The tiers of the test suite, by folder and by marker.

Tiers::

    pytest --fast                   no process start, no browser, no test over five seconds
    pytest -n 2 -m "not alone"      the tests that two workers may run side by side
    pytest -m alone                 tests that fork, measure times or load the whole machine
    pytest tests/cuda               tests that need a CUDA card
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLOW = ("browser", "cuda", "docs", "serve", "siege")
"""Folders whose tests start servers, browsers or whole command lines; the fast tier does not import them."""
ALONE = ("faults", "siege")
"""Folders whose tests fork (a worker of pytest-xdist has threads, which a fork does not copy) or load the machine."""
SECONDS = 5
"""Processor time that a test of the fast tier may take."""
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")
_started: list[str] = []


def watch_processes() -> None:
    """Record every start of a process from now on."""
    sys.addaudithook(lambda event, _args: _started.append(event) if event in STARTS else None)


def folder_of(path: Path) -> str:
    """The folder of tests/ that a file is in, or that the path names; "" at the top."""
    parts = path.relative_to(TESTS).parts if path.is_relative_to(TESTS) else ()
    return parts[0] if len(parts) > 1 or path.is_dir() and parts else ""


def mark(items: Iterable[pytest.Item]) -> None:
    """Give the tests of some folders their markers."""
    for item in items:
        folder = folder_of(item.path)
        if folder in SLOW:
            item.add_marker("slow")
        if folder in ALONE:
            item.add_marker("alone")


def in_budget(item: pytest.Item) -> Generator[None, object, object]:
    """Run one test of the fast tier; fail it if it belongs in another one."""
    _started.clear()
    began = time.process_time()
    result = yield
    seconds = time.process_time() - began
    if _started:
        pytest.fail(f"a test of the fast tier starts a process ({_started[0]}): mark it slow", pytrace=False)
    if seconds > SECONDS:
        pytest.fail(f"a test of the fast tier took {seconds:.1f} s, over {SECONDS}: mark it slow", pytrace=False)
    return result
