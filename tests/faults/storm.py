"""Kill storms: a run killed or stopped again and again, resumed each time, held against an uninterrupted one.

A warm parent forks each attempt, so that torch is imported once:

    python -m tests.faults.storm kill --times 50 --seed 0 --work DIR
    python -m tests.faults.storm stop --times 20 --workers 2 --work DIR

It prints one JSON line of what was done and whether the ends are equal, and exits with 1 if they are not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from tests.data_sets import make_data, tiny
from tests.faults.disk import failing
from unpaired.checkpoints.run_state import CHECKPOINTS, load_state
from unpaired.core.errors import RESUMABLE, Stopped
from unpaired.experiment import Experiment
from unpaired.training import train

torch.set_num_threads(1)


def digest(run: Path) -> str:
    """SHA-256 over every tensor of the last checkpoint: networks, moments, averages, histories, random states."""
    state, notes = load_state(run)
    assert state is not None and not notes, notes
    sha = hashlib.sha256()
    for key, value in sorted(state.tensors.items()):
        sha.update(f"{key} {value.dtype} {tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes())
    return sha.hexdigest()


class Killer:
    """The operating system's calls of a writer, the `at`-th of which is the last: SIGKILL, really."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, name: str, plain: Any, *args: Any, **kwargs: Any) -> Any:
        self.left -= name in ("write", "fsync", "rename", "replace")
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*args, **kwargs)


def fork(experiment: Experiment, run: Path, dies_at: int = 0) -> int:
    """Train in a child, killed at its `dies_at`-th call that writes, if any; returns its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    code = 1
    try:
        with failing(Killer(dies_at)) if dies_at else nullcontext():
            train(experiment, run)
        code = 0
    except Stopped:
        code = RESUMABLE
    finally:
        os._exit(code)


def finish(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def storm(kind: str, times: int, seed: int, work: Path, workers: int, steps: int) -> dict[str, object]:
    """Interrupt a run `times` times and see it through; every other kill comes inside a save."""
    rng, number = random.Random(seed), signal.SIGKILL if kind == "kill" else signal.SIGTERM
    settings = {"optim__ema_decay": 0.9, "method__generator__dropout": True, "runtime__save_every": 7}
    experiment = tiny(make_data(work / "data"), **settings, optim__steps=steps, data__workers=workers)
    began = time.monotonic()
    assert finish(fork(experiment, work / "whole")) == 0
    length, run = time.monotonic() - began, work / "run"
    inside, codes, exits, ends = 0, [], [], set()
    while len(codes) < times:
        dies_at = rng.randrange(6, 20) if kind == "kill" and len(codes) % 2 else 0
        child = fork(experiment, run, dies_at)
        if not dies_at:
            time.sleep(rng.uniform(0, 1.5 * length / times))
            os.kill(child, number)
        asked = time.monotonic()
        code = finish(child)
        if code == 0:  # too late, it had finished: once more from the start
            ends.add(digest(run))
            shutil.rmtree(run)
            continue
        codes.append(code)
        exits += [] if dies_at else [time.monotonic() - asked]
        inside += bool(dies_at) and any((run / CHECKPOINTS).glob("*.part"))
    if finish(fork(experiment, run)) != 0:
        raise AssertionError("the run could not be finished")
    ends.add(digest(run))
    left = [path.name for path in (run / CHECKPOINTS).glob("*.part")]
    return {
        "kind": kind,
        "interrupted": len(codes),
        "inside_a_save": inside,
        "exit_codes": sorted(set(codes)),
        "slowest_exit_s": round(max(exits), 2),
        "steps": steps,
        "workers": workers,
        "left_over": left,
        "equal": ends == {digest(work / "whole")} and not left,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["kill", "stop"])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    result = storm(args.kind, args.times, args.seed, args.work, args.workers, args.steps)
    print(json.dumps(result))
    sys.exit(not result["equal"])


if __name__ == "__main__":
    main()
