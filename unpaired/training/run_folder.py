"""A run's folder: its lock, its settings and its checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
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
    part_of,
    publish,
    read_state,
    save_state,
    write_tensors,
)
from unpaired.config import RuntimeConfig
from unpaired.core.errors import BadInput
from unpaired.core.files import write_bytes, write_text, written_whole
from unpaired.core.safe_text import read_json
from unpaired.data.sources.hub import pinned
from unpaired.experiment import Experiment, flatten, read_experiment, to_yaml
from unpaired.training.logging import say
from unpaired.training.processes import Processes

CONFIG, START = "config.yaml", "run.json"
MOST_CHANGES, MOST_WORDS = 50, 1000
"""Changes of settings kept in run.json, and characters of each."""
MAY_CHANGE = ("data.root", "data.name_", "data.workers", "data.cache_gb", "data.on_bad_image", "name", "runtime.")
"""Beginnings of settings that do not affect the numbers; a resumed run may change them."""
MAY_NOT_CHANGE = ("runtime.seed", "runtime.precision")
SIZES = ("data.preprocess", "data.load_size", "data.crop_size")
"""Settings that decide the size of the images in a history."""
HINT = "give another --out, the same settings, or --allow-config-change"


def has_begun(out: Path) -> bool:
    """Whether the run has taken steps."""
    return (out / BUNDLE).exists() or (out / CHECKPOINTS).exists()


def pinned_root(experiment: Experiment, out: Path) -> str:
    """The data's root; on the hub at the commit that the run began with, or at the newest."""
    before = read_experiment(out / CONFIG).data.root if has_begun(out) and (out / CONFIG).exists() else ""
    return str(pinned(experiment.data.root, before))


@contextmanager
def open_folder(experiment: Experiment, out: Path, allow: bool) -> Iterator[None]:
    """Make and lock the run's folder; BadInput for other settings, foreign files or another process training there."""
    path = out / CONFIG
    if path.exists() and has_begun(out):
        changed = _changes(settings(read_experiment(path)), settings(experiment))
        if changed and not allow:
            raise BadInput(f"{out} holds a run with other settings: {changed}; {HINT}")
    elif not path.exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: expected a new or empty folder or a run, found something else; give another --out")
    if link := next((path for path in out.rglob("*") if path.is_symlink()), None):
        raise BadInput(f"{link}: is a link, and a run writes only inside its own folder; replace it by a copy")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(out, error) from error
    with run_lock(out):
        yield


def write_config(experiment: Experiment, out: Path) -> None:
    """Write the run's settings to its config.yaml."""
    try:
        write_text(out / CONFIG, to_yaml(experiment))
    except OSError as error:
        raise _not_writable(out, error) from error


def write_start(out: Path, device: str) -> None:
    """Write the device and the time of a run's start to its run.json."""
    write_text(out / START, json.dumps({"format": 1, "device": device, "started": round(time.time(), 3)}) + "\n")


def note_changes(state: RunState, experiment: Experiment, out: Path, processes: Processes) -> None:
    """Add the settings that differ from those of a checkpoint to run.json, for the report."""
    changed = _changed(state, experiment, processes)
    if not changed:
        return
    path, words = out / START, f"after step {state.step}: {changed}"
    facts: Any = None
    with suppress(BadInput):  # it is for the report alone: training does not depend on it
        facts = read_json(path)
    facts = facts if isinstance(facts, dict) else {"format": 1}
    noted = [each for each in facts.get("changes") or [] if each != words[:MOST_WORDS]]
    write_text(path, json.dumps(facts | {"changes": [*noted, words[:MOST_WORDS]][-MOST_CHANGES:]}) + "\n")


@contextmanager
def run_lock(out: Path) -> Iterator[None]:
    """Lock the folder against a second training; the lock ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # not on this system
        yield
        return
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


@contextmanager
def removal_reported(out: Path) -> Iterator[None]:
    """Inside, an error of a run whose folder is gone becomes BadInput, which names that as its cause."""
    try:
        yield
    except OSError as error:
        if out.is_dir():
            raise
        gone = f"{out}: the run's folder was removed or renamed during training, so nothing can be saved"
        raise BadInput(f"{gone}; put it back and train again, or give another --out") from error


def settings(experiment: Experiment) -> dict[str, Any]:
    """Every setting that affects the numbers."""
    every = flatten(experiment).items()
    return {key: value for key, value in every if key in MAY_NOT_CHANGE or not key.startswith(MAY_CHANGE)}


def facts(experiment: Experiment, processes: Processes, epoch: int, position: int) -> dict[str, Any]:
    """Facts of a checkpoint, by which a run that cannot be resumed exactly is refused and explained."""
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
    """Versions on which the bits of the numbers depend."""
    own = {"unpaired": metadata.version("unpaired"), "python": platform.python_version()}
    return own | {"torch": torch.__version__, "numpy": np.__version__}


def save(
    out: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    runtime: RuntimeConfig,
    facts: Mapping[str, Any],
    processes: Processes,
) -> list[str]:
    """Write one checkpoint of all processes, with the best bundle so far; returns what could not be deleted."""
    best, keep, every = [out / BEST] if (out / BEST).is_file() else [], runtime.keep, runtime.keep_every
    if processes.count == 1:
        return save_state(out, step, tensors, keep, facts, best, every)
    if processes.first:
        open_part(out, step)
    processes.wait()
    part, name, mine = part_of(out, step), "state.safetensors", tensors
    if not processes.first:
        name = f"process-{processes.index:04d}.safetensors"
        mine = {key: value for key, value in tensors.items() if key.startswith(OWN)}
    entries = processes.gather(json.dumps({name: write_tensors(part / name, mine)}))
    notes = []
    if processes.first:
        files = {name: entry for text in entries for name, entry in json.loads(text).items()}
        notes = publish(part, step, files | copy_files(best, part), keep, facts, every)
    processes.wait()
    return notes


def resume(experiment: Experiment, out: Path, allow: bool, processes: Processes) -> RunState | None:
    """The newest complete checkpoint, with this process's own state; other settings raise BadInput unless `allow`."""
    state, notes = load_state(out) if processes.first else (None, [])
    for note in notes:
        say(note)
    newest = processes.from_first(lambda: state.folder.name if state else "")
    if not newest:
        return None
    state = state or read_state(out / CHECKPOINTS / newest, processes.index)
    changed = _check(state, experiment, out, allow, processes)
    return _without_past_images(state) if any(name in changed for name in SIZES) else state


def restore_best(out: Path, state: RunState | None) -> None:
    """Restore `best.safetensors` from a checkpoint: steps that will be repeated may have replaced it."""
    best = out / BEST
    if state is not None and BEST in state.facts["files"]:
        with written_whole(best) as part:
            write_bytes(part, (state.folder / BEST).read_bytes())
    elif best.is_file() and _is_later(best, state.step if state is not None else 0):
        best.unlink()


def _is_later(best: Path, step: int) -> bool:
    """Whether validation kept this bundle after the step; a file of the user's is left alone."""
    try:
        bundle = load_bundle(best)
    except BadInput:
        return False
    return bundle.chosen is not None and bundle.step > step


def _check(state: RunState, experiment: Experiment, out: Path, allow: bool, processes: Processes) -> str:
    """The settings that differ from those of a checkpoint, in words."""
    changed = _changed(state, experiment, processes)
    if changed and not allow:
        raise BadInput(f"{out} holds a checkpoint of other settings: {changed}; {HINT}")
    if processes.first:
        if changed:
            say(f"{out}: resumes although {changed}; the numbers are no longer those of one experiment")
        before = state.facts.get("versions", {})
        newer = ", ".join(f"{k} was {before[k]} and is now {v}" for k, v in versions().items() if before.get(k, v) != v)
        if newer:
            say(f"{out}: {newer}; from here on the last bits may differ")
    return changed


def _changed(state: RunState, experiment: Experiment, processes: Processes) -> str:
    now = {**settings(experiment), "processes": processes.count}
    then = {**state.facts.get("settings", {}), "processes": state.facts.get("processes", 1)}
    return _changes(then, now)


def _without_past_images(state: RunState) -> RunState:
    """A state with empty histories: images of another size cannot share a batch with new ones."""
    past = [key for key in state.tensors if key.startswith("planned/") and "/image/" in key]
    return replace(state, tensors={key: value for key, value in state.tensors.items() if key not in past})


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} was {before.get(k)} and is now {v}" for k, v in now.items() if before.get(k) != v)


def _not_writable(out: Path, error: OSError) -> BadInput:
    return BadInput(f"{out}: cannot be written ({error.strerror}); choose another --out")
