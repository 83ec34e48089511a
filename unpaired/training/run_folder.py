"""A run's folder: opened for one experiment, refused to another, and its checkpoints across processes."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpaired.checkpoints.bundle import BEST, BUNDLE, load_bundle
from unpaired.checkpoints.run_state import (
    CHECKPOINTS,
    OWN,
    RunState,
    copy_files,
    load_state,
    open_part,
    publish,
    read_state,
    save_state,
    write_tensors,
)
from unpaired.core.errors import BadInput
from unpaired.core.files import write_bytes, write_text, written_whole
from unpaired.data.sources.hub import pinned
from unpaired.experiment import Experiment, flatten, read_experiment, to_yaml, with_root
from unpaired.training.processes import Processes

CONFIG = "config.yaml"
MAY_CHANGE = ("data.root", "data.workers", "data.cache_gb", "data.on_bad_image", "name", "runtime.")
"""Settings, by their beginning, that a resumed run may have changed: they do not touch its numbers."""
MAY_NOT_CHANGE = ("runtime.seed", "runtime.precision")
HINT = "give another --out, the same settings, or --allow-config-change"


def open_folder(experiment: Experiment, out: Path, allow: bool) -> None:
    """Make the run's folder and its config.yaml; refuse one where another experiment has begun to train."""
    path = out / CONFIG
    if path.exists() and has_begun(out):
        changed = _changes(settings(read_experiment(path)), settings(experiment))
        if changed and not allow:
            raise BadInput(f"{out} holds a run with other settings: {changed}; {HINT}")
    elif not path.exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: expected a new or empty folder or a run, found something else; give another --out")
    if link := next((path for path in out.rglob("*") if path.is_symlink()), None):
        raise BadInput(
            f"{link}: a link, and a run writes only inside its own folder; put what it leads to in its place"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, to_yaml(experiment))
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); choose another --out") from error


def at_one_commit(experiment: Experiment, out: Path, begun: bool) -> Experiment:
    """The experiment with data on the hub taken at one commit: the one a run began with, or the newest."""
    before = read_experiment(out / CONFIG).data.root if begun and (out / CONFIG).exists() else ""
    return with_root(experiment, pinned(experiment.data.root, before))


def has_begun(out: Path) -> bool:
    """Whether the run has taken steps."""
    return (out / BUNDLE).exists() or (out / CHECKPOINTS).exists()


@contextmanager
def run_lock(out: Path) -> Iterator[None]:
    """Keep a second training out of the same folder; the lock goes with the process, however that ends.

    Raises:
        BadInput: another process trains there.
    """
    try:
        import fcntl
    except ImportError:  # not on this system
        yield
        return
    import os

    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BadInput(f"{out}: another process is training there; wait for it, or give another --out") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(handle)


def settings(experiment: Experiment) -> dict[str, Any]:
    """Every setting that touches the numbers."""
    return {key: value for key, value in flatten(experiment).items() if not _may_change(key)}


def facts(experiment: Experiment, processes: Processes, epoch: int, position: int) -> dict[str, Any]:
    """What a checkpoint says of the run: enough to refuse what would not go on exactly, and to explain it."""
    numbers = settings(experiment)
    return {
        "epoch": epoch,
        "position": position,
        "processes": processes.count,
        "versions": versions(),
        "settings_sha256": hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest(),
        "settings": numbers,
    }


def versions() -> dict[str, str]:
    """Of what the same bits depend on."""
    return {
        "unpaired": metadata.version("unpaired"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def save(
    out: Path, step: int, tensors: Mapping[str, Tensor], keep: int, facts: Mapping[str, Any], processes: Processes
) -> list[str]:
    """Write a checkpoint of all processes together, with the best bundle so far; returns what could not be deleted."""
    best = [out / BEST] if (out / BEST).is_file() else []
    if processes.count == 1:
        return save_state(out, step, tensors, keep, facts, best)
    part = open_part(out, step) if processes.first else out / CHECKPOINTS / f"step-{step:08d}.part"
    processes.wait()
    name, mine = "state.safetensors", tensors
    if not processes.first:
        name = f"process-{processes.index:04d}.safetensors"
        mine = {key: value for key, value in tensors.items() if key.startswith(OWN)}
    entries = processes.gather(json.dumps({name: write_tensors(part / name, mine)}))
    files = {name: entry for text in entries for name, entry in json.loads(text).items()}
    files |= copy_files(best, part) if processes.first else {}
    notes = publish(part, step, files, keep, facts) if processes.first else []
    processes.wait()
    return notes


def resume(experiment: Experiment, out: Path, allow: bool, processes: Processes) -> RunState | None:
    """The newest whole checkpoint, as this process needs it.

    Raises:
        BadInput: it was made with other settings or another number of processes, and `allow` is not given.
    """
    state, notes = load_state(out) if processes.first else (None, [])
    for note in notes:
        say(note)
    newest = processes.gather(state.folder.name if state else "")[0]
    if not newest:
        return None
    state = state or read_state(out / CHECKPOINTS / newest, processes.index)
    _check(state, experiment, out, allow, processes)
    return state


def restore_best(out: Path, state: RunState | None) -> None:
    """Make `best.safetensors` what it was when `state` was saved: later steps, now taken again, may have changed it."""
    best = out / BEST
    if state is not None and BEST in state.facts["files"]:
        with written_whole(best) as part:
            write_bytes(part, (state.folder / BEST).read_bytes())
    elif best.is_file() and _judged_after(best, state.step if state is not None else 0):
        best.unlink()


def _judged_after(best: Path, step: int) -> bool:
    """Whether training kept this bundle after the step; one that the user put there is left alone."""
    try:
        bundle = load_bundle(best)
    except BadInput:
        return False
    return bundle.chosen is not None and bundle.step > step


def say(line: str) -> None:
    """A line for whoever watches."""
    print(line, file=sys.stderr, flush=True)


def _check(state: RunState, experiment: Experiment, out: Path, allow: bool, processes: Processes) -> None:
    now = {**settings(experiment), "processes": processes.count}
    then = {**state.facts.get("settings", {}), "processes": state.facts.get("processes", 1)}
    changed = _changes(then, now)
    if changed and not allow:
        raise BadInput(f"{out} holds a checkpoint of other settings: {changed}; {HINT}")
    if not processes.first:
        return
    if changed:
        say(f"{out}: going on although {changed}; the numbers are no longer those of one experiment")
    before = state.facts.get("versions", {})
    newer = ", ".join(f"{k} was {before[k]} and is now {v}" for k, v in versions().items() if before.get(k, v) != v)
    if newer:
        say(f"{out}: {newer}; from here on the last bits may differ")


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} was {before.get(k)} and is now {v}" for k, v in now.items() if before.get(k) != v)


def _may_change(key: str) -> bool:
    return key.startswith(MAY_CHANGE) and key not in MAY_NOT_CHANGE
