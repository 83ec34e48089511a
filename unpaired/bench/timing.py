"""Fair timings of things to compare, and what they were measured on."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unpaired.core.progress import progress
from unpaired.core.version import __version__


@dataclass(frozen=True)
class Taken:
    """Time of one run."""

    seconds: float
    cpu_seconds: float
    """Of all threads of this process: what else the machine does hardly counts."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one piece of work: the median, and the 10th and 90th percentile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """Of every time taken."""
        low, median, high = np.percentile(1e3 * np.array(seconds), [10, 50, 90])
        return cls(round(float(median), 2), round(float(low), 2), round(float(high), 2))


Work = Mapping[str, Callable[[], object]]
"""What is timed, by name."""


def interleaved(work: Work, device: torch.device, repeats: int, warmup: int = 1) -> dict[str, list[Taken]]:
    """Every repetition by name. The cases alternate, so that other load on the machine affects all alike."""
    times: dict[str, list[Taken]] = {name: [] for name in work}
    with progress("measuring", (warmup + repeats) * len(work)) as advance:
        for turn in range(warmup + repeats):
            for name, run in work.items():
                taken = _take(run, device)
                if turn >= warmup:
                    times[name].append(taken)
                advance(note=f"{name} {1e3 * taken.seconds:.0f} ms")
    return times


def environment(device: torch.device) -> dict[str, object]:
    """The environment of the numbers: device, threads, versions and, in a checkout, the commit."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": {"unpaired": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "commit": commit(),
    }


def device_name(device: torch.device) -> str:
    """The card's name, or the processor's with the instructions that decide."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    chip = torch.cpu.get_capabilities()
    has = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if chip.get(name)]
    return f"{chip.get('cpu_name', platform.machine())} ({', '.join(has) or 'no vector extensions known'})"


def commit() -> str | None:
    """The commit of the checkout that this package runs from, if it does."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        told = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True)
    except OSError:
        return None
    return told.stdout.strip() or None


def _take(run: Callable[[], object], device: torch.device) -> Taken:
    _wait(device)
    start, cpu = time.perf_counter(), time.process_time()
    run()
    _wait(device)
    return Taken(time.perf_counter() - start, time.process_time() - cpu)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
