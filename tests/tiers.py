"""The tiers of the test suite, by folder and file, and by the marker `slow`.

Tiers::

    pytest --tier fast              no process start, no browser, no test over five seconds
    pytest --tier common -n 2       the tests that two workers may run side by side: all but the following
    pytest --tier servers           tests that start servers, browsers and several processes
    pytest --tier forks             tests that fork, in a process without other threads; beside the servers
    pytest --tier long              tests of whole pages and commands; beside the servers, after those that fork
    pytest --tier alone             tests that measure times or load the whole machine
    pytest tests/cuda               tests that need a CUDA card
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLOW = (
    *("bench", "browser", "convert", "cuda", "data/prepare", "docs", "export", "faults", "features", "hub"),
    *("parity", "serve", "siege", "trackers", "commands/test_official.py", "data/test_archives.py"),
    *("data/test_doctor.py", "data/test_masks.py", "data/test_usable.py", "inference/test_cluster.py"),
    *("inference/test_huge.py", "inference/test_video.py", "kernels/test_triton.py", "methods/test_toys.py"),
    *("metrics/test_swd.py", "test_demo.py", "test_evaluate.py", "test_examples.py", "test_experiment.py"),
    *("test_label_scores.py", "test_pages.py", "test_report.py", "test_reproduce.py", "test_sets.py"),
    *("training/test_concurrent_losses.py", "training/test_baselines.py", "training/test_colour_start.py"),
    *("training/test_optimizer_step.py", "training/test_finetune.py", "training/test_hazards.py"),
    *("training/test_numbered_checkpoints.py", "training/test_processes.py", "training/test_run.py"),
    *("training/test_sizes.py", "training/test_static_step.py", "training/test_validation.py"),
)
"""Folders and files that the fast tier does not import: their tests start processes, or take seconds together."""
FORKS = ("faults",)
"""Tests that fork. A worker of pytest-xdist has threads, which a fork does not copy."""
SERVERS = ("browser", "inference/test_cluster.py", "serve", "trackers/test_trackers.py", "training/test_processes.py")
"""Tests that start servers, browsers or several processes that wait for one another."""
LONG = ("docs/test_notebook.py", "docs/test_pages_run.py", "test_demo.py", "test_reproduce.py")
"""Tests of whole pages and commands: so many minutes that forks and they take as long as the servers."""
ALONE = ("bench", "siege", "training/test_concurrent_losses.py")
"""Tests that measure times or use both cores."""
PLACES = {"forks": FORKS, "servers": SERVERS, "long": LONG, "alone": ALONE}
TIERS = ("fast", "common", *PLACES)
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


def left_out(path: Path, tier: str) -> bool:
    """Whether a tier imports nothing of this file or folder."""
    if tier == "fast":
        return below(path, SLOW)
    if tier == "common":
        return below(path, itertools.chain(*PLACES.values()))
    return not below(path, PLACES[tier]) and not any((TESTS / place).is_relative_to(path) for place in PLACES[tier])


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
