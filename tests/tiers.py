"""The tiers of the test suite, by folder and by marker.

Tiers::

    pytest --fast                   no process start, no browser, no test over five seconds
    pytest -n 2 -m "not (forks or servers or alone)"    the tests that two workers may run side by side
    pytest -m forks                 tests that fork, in a process without other threads
    pytest -m servers               tests that start servers, browsers and several processes; beside those that fork
    pytest -m alone                 tests that measure times or load the whole machine
    pytest tests/cuda               tests that need a CUDA card
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLOW = (
    *("bench", "browser", "cuda", "docs", "export", "hub", "parity", "serve", "siege", "trackers"),
    *("data/test_archives.py", "data/test_masks.py", "data/test_usable.py", "data/prepare/test_earth_labels.py"),
    *("faults/test_archives.py", "faults/test_images.py", "faults/test_runs.py", "faults/test_stop.py"),
    *("faults/test_storms.py", "faults/test_weights.py", "inference/test_cluster.py", "inference/test_huge.py"),
    *("inference/test_video.py", "kernels/test_triton.py", "methods/test_toys.py", "test_demo.py", "test_evaluate.py"),
    *("test_experiment.py", "test_label_scores.py", "test_pages.py", "test_report.py", "test_reproduce.py"),
    *("training/test_abreast.py", "training/test_baselines.py", "training/test_colour_start.py"),
    *(
        "training/test_descent.py",
        "training/test_finetune.py",
        "training/test_hazards.py",
        "training/test_processes.py",
    ),
    *("training/test_run.py", "training/test_sizes.py", "training/test_static_step.py", "training/test_validation.py"),
)
"""Folders and files whose tests start processes, servers or browsers, or train; the fast tier does not import them."""
FORKS = ("faults",)
"""Tests that fork. A worker of pytest-xdist has threads, which a fork does not copy."""
SERVERS = ("browser", "inference/test_cluster.py", "serve", "trackers/test_trackers.py", "training/test_processes.py")
"""Tests that start servers, browsers or several processes that wait for one another."""
ALONE = ("bench", "siege", "training/test_abreast.py")
"""Tests that measure times or use both cores."""
PLACES = {"slow": SLOW, "forks": FORKS, "servers": SERVERS, "alone": ALONE}
SECONDS = 5
"""Processor time that a test of the fast tier may take."""
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")
_started: list[str] = []


def watch_processes() -> None:
    """Record every start of a process from now on."""
    sys.addaudithook(lambda event, _args: _started.append(event) if event in STARTS else None)


def below(path: Path, places: Iterable[str]) -> bool:
    """Whether a path is, or is in, one of these files and folders of tests/."""
    return any(path.is_relative_to(TESTS / place) for place in places)


def mark(items: Iterable[pytest.Item]) -> None:
    """Give the tests of some folders and files their markers."""
    for item in items:
        for marker, places in PLACES.items():
            if below(item.path, places):
                item.add_marker(marker)


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
