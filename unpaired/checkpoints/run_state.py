"""The state of a run on disk: a complete checkpoint exists at every moment, and only complete ones are read.

    checkpoints/step-00000500/state.safetensors         what all processes share, and the own state of process 0
    checkpoints/step-00000500/process-0001.safetensors  the own state of process 1, if there are several
    checkpoints/step-00000500/best.safetensors          the best bundle so far, if the run validates
    checkpoints/step-00000500/manifest.json             facts, size and SHA-256 of each file, sealed by its own hash
    checkpoints/step-00000500/pinned                    made by the user (or `best`): the checkpoint is never deleted
    checkpoints/latest                                  the name of the newest, for people and scripts

A checkpoint is written to a temporary folder, flushed, renamed and read back; only then are older ones deleted.
Reading does not depend on `latest`: power may fail between the renames of the checkpoint and of that file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from unpaired.core.errors import BadInput, brief, shown
from unpaired.core.files import file_sha256, flush, write_bytes, written_whole
from unpaired.core.safe_text import MAX_JSON, parse_json
from unpaired.core.safetensors_file import read_tensors

FORMAT = 1
"""Version of a checkpoint; newer ones are refused."""
CHECKPOINTS, LATEST = "checkpoints", "latest"
STATE, MANIFEST = "state.safetensors", "manifest.json"
OWN = ("random/", "planned/")
"""Beginnings of the names of the tensors that differ between processes."""
PROTECTED, KEPT = ("pinned", "best"), "kept"
"""A checkpoint whose folder holds a file of one of these names is never deleted."""

Facts = dict[str, Any]


class Damaged(ValueError):
    """A checkpoint is not as it was written."""


@dataclass(frozen=True)
class RunState:
    """A checkpoint: the trainer's tensors, the number of steps taken, and the facts of its manifest."""

    step: int
    tensors: dict[str, Tensor]
    facts: Facts = field(default_factory=dict)
    folder: Path = Path()


def save_state(
    run: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    keep: int,
    facts: Mapping[str, Any] | None = None,
    beside: Sequence[Path] = (),
    keep_every: int = 0,
) -> list[str]:
    """Write `checkpoints/step-N` of a run; returns a line for each older checkpoint that could not be deleted.

    It holds the tensors, copies of the files `beside`, and `facts` in its manifest. The newest `keep` complete
    checkpoints are kept, those of steps that `keep_every` divides (0: none), and the protected.

    Raises:
        OSError: it could not be written or does not read back; the earlier checkpoints remain.
    """
    part = open_part(run, step)
    try:
        files = {STATE: write_tensors(part / STATE, tensors)} | copy_files(beside, part)
        return publish(part, step, files, keep, facts or {}, keep_every)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def part_of(run: Path, step: int) -> Path:
    """The temporary folder in which step N is written."""
    return run / CHECKPOINTS / f"{_name(step)}.part"


def open_part(run: Path, step: int) -> Path:
    """Make the temporary folder of step N; those that a killed save left are deleted."""
    for left in (run / CHECKPOINTS).glob("step-*.part"):
        shutil.rmtree(left, ignore_errors=True)
    part = part_of(run, step)
    part.mkdir(parents=True, exist_ok=True)
    return part


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> Facts:
    """Write tensors; returns the file's size and SHA-256."""
    stored = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    return _write(path, safetensors.torch.save(stored))


def copy_files(files: Iterable[Path], part: Path) -> dict[str, Facts]:
    """Copy files into a checkpoint; returns the size and SHA-256 of each by its name."""
    return {file.name: _write(part / file.name, file.read_bytes()) for file in files}


def _write(path: Path, content: bytes) -> Facts:
    write_bytes(path, content)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def publish(
    part: Path, step: int, files: Mapping[str, Facts], keep: int, facts: Mapping[str, Any], keep_every: int = 0
) -> list[str]:
    """Write the manifest, rename the folder, read it back, update `latest`, and delete older checkpoints."""
    folder, final = part.parent, part.with_suffix("")
    content = {"format": FORMAT, "step": step, **facts, "files": dict(files)}
    write_bytes(part / MANIFEST, seal(content).encode())
    if keep_every and step % keep_every == 0:
        (part / KEPT).touch()
    flush(part)
    if final.exists():  # readers find it under this name if all ends between the two renames
        final.rename(final.with_suffix(".old"))
    part.rename(final)
    flush(folder)
    try:
        verify(final)
    except Damaged as error:
        raise OSError(f"{final}: does not read back as it was written ({error}); is the disk failing?") from error
    with written_whole(folder / LATEST) as new:
        write_bytes(new, f"{final.name}\n".encode())
    return _delete_older(folder.parent, keep, keep_every)


def load_state(run: Path) -> tuple[RunState | None, list[str]]:
    """The newest complete checkpoint, and a line for each damaged one after it.

    Raises:
        BadInput: a checkpoint of a newer format; to skip it would repeat its steps and delete it.
    """
    notes = []
    for folder in reversed(_folders(run)):
        try:
            return read_state(folder), notes
        except (Damaged, OSError) as error:
            notes.append(f"{folder}: damaged ({shown(error)}); using the one before it")
    return None, notes


def read_state(folder: Path, process: int = 0) -> RunState:
    """The state of one process from one checkpoint; process 0 verifies all its files.

    A process that the run did not have gets the shared tensors only.

    Raises:
        Damaged: something is not as it was written.
        BadInput: of a newer format.
    """
    facts, own = (verify if process == 0 else read_manifest)(folder), f"process-{process:04d}.safetensors"
    tensors = _tensors(folder / STATE)
    if process:
        tensors = {key: value for key, value in tensors.items() if not key.startswith(OWN)}
        tensors |= _tensors(folder / own) if own in facts["files"] else {}
    return RunState(facts["step"], tensors, facts, folder)


def checkpoint_of(run: Path, asked: str, *, step: int | None = None, epoch: int | None = None) -> Path:
    """The folder of the kept checkpoint of a run after `step` steps, or after `epoch` whole epochs.

    `asked` is the requested checkpoint in the user's words.

    Raises:
        BadInput: the run keeps no such checkpoint; the message lists the steps it keeps.
    """
    kept: list[int] = []
    for folder in filter(_complete, _folders(run)):
        facts = read_manifest(folder)
        if facts["step"] == step if step is not None else (facts.get("epoch"), facts.get("position")) == (epoch, 0):
            return folder
        kept.append(facts["step"])
    there = f"there is step {', '.join(map(str, kept))}" if kept else "there is none"
    advice = "--runtime.keep-every N keeps every N-th step while training"
    raise BadInput(f"{run}: no checkpoint of {asked} is kept; {there}; {advice}")


def is_checkpoint(path: Path) -> bool:
    """Whether a path is the folder of a checkpoint."""
    return path.is_dir() and path.name.startswith("step-") and (path / MANIFEST).is_file()


def verify(folder: Path) -> Facts:
    """The manifest of a checkpoint, after a check of the size and SHA-256 of every file.

    Raises:
        Damaged: a file differs from its entry in the manifest.
        BadInput: of a newer format.
    """
    facts = read_manifest(folder)
    for name, expected in facts["files"].items():
        path = folder / name
        try:
            if path.stat().st_size != expected["bytes"]:
                raise Damaged(f"{name} has {path.stat().st_size} bytes instead of {expected['bytes']}")
            if file_sha256(path) != expected["sha256"]:
                raise Damaged(f"the content of {name} does not match its hash")
        except OSError as error:
            raise Damaged(f"{name}: {error.strerror}") from error
    return facts


def read_manifest(folder: Path) -> Facts:
    """The facts of a checkpoint, after a check of the manifest's seal.

    Raises:
        Damaged: the manifest is not as it was written.
        BadInput: of a newer format.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError(f"{path.stat().st_size} bytes")
        text = path.read_bytes().decode()
        facts = parse_json(text)
        facts.pop("seal")
        _check_entries(facts)
        whole = seal(facts) == text and _name(facts["step"]) == folder.name.partition(".")[0]
    except OSError as error:
        raise Damaged(f"{MANIFEST}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Damaged(f"{MANIFEST}: {shown(error)}") from error
    if not whole:
        raise Damaged(f"{MANIFEST} does not match its seal")
    if facts["format"] > FORMAT:
        raise BadInput(f"{folder}: format {facts['format']}, this version reads up to {FORMAT}; upgrade unpaired")
    return facts


def seal(facts: Mapping[str, Any]) -> str:
    """The text of a manifest; its last entry is the SHA-256 of the others, so that any changed byte is found."""
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return json.dumps({**facts, "seal": digest}, indent=2) + "\n"


def _delete_older(run: Path, keep: int, keep_every: int) -> list[str]:
    """Delete all but the last `keep` complete checkpoints, the protected and those kept for good."""
    replaced = [old for old in (run / CHECKPOINTS).glob("step-*.old") if _complete(old.with_suffix(""))]
    whole = [folder for folder in _folders(run) if folder not in replaced and _complete(folder)]
    free = [folder for folder in whole if not any((folder / name).exists() for name in PROTECTED)]
    notes = []

    def for_good(folder: Path) -> bool:
        return (folder / KEPT).exists() or bool(keep_every and read_manifest(folder)["step"] % keep_every == 0)

    for old in [*replaced, *(folder for folder in free[:-keep] if not for_good(folder))]:
        try:
            gone = old.with_name(f"{old.name}.part")  # removed by one rename, not file by file
            old.rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            notes.append(f"{old}: cannot be deleted ({error.strerror}); training continues")
    return notes


def _complete(folder: Path) -> bool:
    """Whether every file of a checkpoint has its size; contents are not read."""
    try:
        files = read_manifest(folder)["files"]
        return all((folder / name).stat().st_size == facts["bytes"] for name, facts in files.items())
    except (Damaged, BadInput, OSError):
        return False


def _folders(run: Path) -> list[Path]:
    """Checkpoints that have a manifest, oldest first; of one step, the one that is being replaced comes first."""
    folders = (path for path in (run / CHECKPOINTS).glob("step-*") if not path.name.endswith(".part"))
    whole = (path for path in folders if (path / MANIFEST).is_file())
    return sorted(whole, key=lambda path: (path.name.partition(".")[0], path.suffix != ".old"))


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except (ValueError, OSError) as error:
        raise Damaged(f"{path.name}: {shown(error)}") from error


def _check_entries(facts: Facts) -> None:
    """Refuse entries that the writer never writes; a manifest of unknown origin may have a valid seal."""
    for name in ("format", "step"):
        if type(facts[name]) is not int or facts[name] < 0:
            raise ValueError(f"the {name} {brief(facts[name])}")
    for name, about in facts["files"].items():
        if Path(name).name != name or type(about["sha256"]) is not str or type(about["bytes"]) is not int:
            raise ValueError(f"the file {brief(name)} with {brief(about)}")


def _name(step: int) -> str:
    return f"step-{step:08d}"
