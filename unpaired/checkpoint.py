"""What is kept of a run: its state, to resume exactly, and the bundle, for everyone else.

Tensors in safetensors, the rest in JSON; nothing is unpickled. Both are written beside their place, flushed to
disk and renamed, so that whatever happens an earlier one is whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from unpaired.config import Direction
from unpaired.errors import BadInput
from unpaired.experiment import Experiment, build_method, from_dict, to_dict
from unpaired.files import file_sha256, flush, write_text, written_whole
from unpaired.methods import Method
from unpaired.models import Generator

FORMAT = 1
"""Version of both artefacts; newer ones are refused, older ones read."""
BUNDLE = "bundle.safetensors"
CHECKPOINTS = "checkpoints"
FOREIGN_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt")
"""Names that other tools give their weights."""
STATE, FACTS = "state.safetensors", "manifest.json"


@dataclass(frozen=True)
class RunState:
    """A checkpoint: the trainer's tensors and the number of steps they have behind them."""

    step: int
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Bundle:
    """Trained generators, of one direction or both, and the experiment they came from."""

    experiment: Experiment
    translators: Mapping[Direction, Generator]
    step: int
    source: str = ""
    """The foreign file that the weights were converted from; empty where they were trained here."""


def save_state(run: Path, step: int, tensors: Mapping[str, Tensor], keep: int) -> None:
    """Write `checkpoints/step-N`, then drop all but the last `keep` complete ones."""
    folder = run / CHECKPOINTS
    final, part = folder / f"step-{step:08d}", folder / f"step-{step:08d}.part"
    for left in folder.glob("step-*.part"):  # of a save that was killed
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write_tensors(part / STATE, tensors, {})
        facts = {"format": FORMAT, "step": step, "torch": torch.__version__, "sha256": file_sha256(part / STATE)}
        write_text(part / FACTS, json.dumps(facts, indent=2))
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    flush(folder)
    for old in _complete(run)[:-keep]:
        shutil.rmtree(old)


def load_state(run: Path) -> tuple[RunState | None, list[str]]:
    """The newest checkpoint that is whole, and a line for each damaged one passed over.

    Raises:
        BadInput: a checkpoint of a newer format; passed over, it would be trained anew and dropped.
    """
    notes = []
    for folder in reversed(_complete(run)):
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            _check_format(facts, folder)
            if facts["sha256"] != file_sha256(folder / STATE):
                raise ValueError("its content does not match its hash")
            return RunState(facts["step"], load_file(folder / STATE)), notes
        except BadInput:
            raise
        except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
            notes.append(f"{folder}: damaged ({error}); using the one before it")
    return None, notes


def save_bundle(path: Path, experiment: Experiment, method: Method, step: int) -> None:
    """Write the trained generators of a method."""
    write_bundle(path, Bundle(experiment, method.translators, step))


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write generators with their experiment in the file's metadata."""
    tensors = {
        f"{direction}.{key}": value
        for direction, network in bundle.translators.items()
        for key, value in network.state_dict().items()
    }
    facts = {"format": FORMAT, "step": bundle.step, "experiment": to_dict(bundle.experiment)}
    facts |= {"source": bundle.source} if bundle.source else {}
    with written_whole(path) as part:
        _write_tensors(part, tensors, {"unpaired": json.dumps(facts)})


def load_bundle(path: Path) -> Bundle:
    """Rebuild the generators of a bundle, or of the run whose folder is given, on the CPU in fp32.

    Raises:
        BadInput: not a bundle, damaged, of a newer format, or weights that do not fit their own settings.
    """
    path = path / BUNDLE if path.is_dir() else path
    facts, tensors = _read_bundle(path)
    experiment = from_dict(facts["experiment"], str(path))
    there = {key.partition(".")[0] for key in tensors}
    known = build_method(experiment).translators
    translators: dict[Direction, Generator] = {each: known[each] for each in known if each in there}
    if not translators or there - set(translators):
        expected = " or ".join(known)
        raise BadInput(f"{path}: expected generators {expected}, found {', '.join(sorted(there)) or 'none'}")
    for direction, network in translators.items():
        weights = {k.removeprefix(f"{direction}."): v for k, v in tensors.items() if k.startswith(f"{direction}.")}
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            words = " ".join(str(error).split())
            raise BadInput(f"{path}: its weights do not fit its settings ({words})") from error
        network.eval().requires_grad_(False)
    return Bundle(experiment, translators, int(facts["step"]), str(facts.get("source", "")))


def _read_bundle(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a run's folder or a bundle ({BUNDLE})")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        facts = json.loads(metadata.get("unpaired", "{}"))
        tensors = load_file(path)
    except (SafetensorError, ValueError, OSError, struct.error) as error:
        hint = "; `unpaired convert` makes one of another tool's weights" if path.suffix in FOREIGN_SUFFIXES else ""
        raise BadInput(f"{path}: not a readable bundle ({error}){hint}") from error
    if not isinstance(facts, dict) or "experiment" not in facts:
        raise BadInput(f"{path}: a safetensors file, but not a bundle of unpaired (its metadata names no experiment)")
    _check_format(facts, path)
    return facts, tensors


def _check_format(facts: dict[str, Any], path: Path) -> None:
    if facts.get("format", FORMAT) > FORMAT:
        raise BadInput(f"{path}: format {facts['format']}, this version reads up to {FORMAT}; upgrade unpaired")


def _complete(run: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    folders = (run / CHECKPOINTS).glob("step-*")
    return sorted(path for path in folders if path.suffix != ".part" and (path / FACTS).is_file())


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    try:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, path, metadata)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))  # what the disk answered, in safetensors' words
        raise (OSError(int(code[1]), os.strerror(int(code[1])), str(path)) if code else OSError(str(error))) from error
    flush(path)
