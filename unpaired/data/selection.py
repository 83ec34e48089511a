"""Which images a run may use: decided before its first step, kept with the run, the same to its last.

What a step sees depends on the list of files, so a resumed run takes the decision from its folder and is refused
where the list is no longer the one it began with.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from unpaired.config import DataConfig
from unpaired.core.errors import BadInput, counted, first_problem, some_of
from unpaired.core.files import write_text
from unpaired.core.safe_text import read_json
from unpaired.data.checks import examine
from unpaired.data.diagnosis import Finding
from unpaired.data.folders import Files, PixelStore, images_of
from unpaired.data.transforms import fitted_size
from unpaired.imaging.images import read_image

SKIPPED = "skipped.json"
MOST_NAMED = 500
"""Bad files named in the message of a training that they stop."""


@dataclass(frozen=True, kw_only=True)
class ImageSelection:
    """The content of a run's `skipped.json`."""

    format: Literal[1] = 1
    skipped: tuple[Finding, ...] = ()
    """Images that `unpaired check` refuses or that do not fit the run's settings, with its messages."""
    used: dict[str, int] | None = None
    """Images used, by folder."""
    ranges: dict[str, str] | None = None
    """Black, white and type of domains A and B, where they are not full scale."""
    notes: tuple[str, ...] = ()
    """The lines about the images before the first step."""
    names_sha256: str = ""
    """Of the names used, in order; empty until a run has begun."""

    @property
    def paths(self) -> frozenset[str]:
        """The images left out, by their paths inside the data set."""
        return frozenset(finding.path for finding in self.skipped)

    def describe(self, run: Path) -> str:
        """One line for people; empty where nothing is left out."""
        counts = Counter(path.partition("/")[0] for path in self.paths)
        folders = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()))
        return f"skipped {counted(len(self.paths), 'image')} ({folders}), named in {run / SKIPPED}" if counts else ""


def select(cfg: DataConfig, run: Path, begun: bool, store: PixelStore | None = None) -> ImageSelection:
    """Read every image of the data set, or what a run that has begun decided when it did.

    Images on the hub are not read before training asks for them: one that cannot be used then stops it.

    `cfg` names the data set, and whether bad images stop the training or are left out. `run` is the run's folder, and
    `begun` whether it has taken steps: then nothing is read again. `store` keeps what is read while there is room.

    Raises:
        BadInput: bad images and `cfg.on_bad_image` "fail", one message for all; or a damaged `skipped.json`.
    """
    if begun:
        return _read(run / SKIPPED)
    _check_streamed(cfg)
    store = store or PixelStore(replace(cfg, cache_gb=0))
    diagnosis = examine(Path(cfg.root), cfg=cfg, streamed=False, seen=store.take)
    findings = diagnosis.findings
    refused = (finding for finding in findings if finding.severity == "refused")
    bad = [finding for finding in refused if finding.reason != "folder"]  # of those, whoever lists the files tells
    if bad and cfg.on_bad_image == "fail":
        raise BadInput(_all_named(bad, cfg.root))
    for name, found in diagnosis.sizes.items():
        store.sizes[name] = {fitted_size(*size, cfg): file for size, file in found.items()}
    notes = (*diagnosis.notes, *_unmeasured(cfg))
    return ImageSelection(skipped=tuple(bad), ranges=diagnosis.ranges, notes=notes)


def _unmeasured(cfg: DataConfig) -> Iterator[str]:
    """A line for each part on the hub whose images may need a black and white that was not measured."""
    for name, given in (("trainA", cfg.range_a), ("trainB", cfg.range_b)):
        files = images_of(Path(cfg.root), name)
        if given or cfg.range == "fixed" or len(files.local()) == len(files):
            continue
        with suppress(BadInput):  # the step that meets it reports it
            dtype = read_image(files[0]).pixels.dtype
            if dtype != "uint8":
                words = f"images on the hub are not read before training, so black and white are those of {dtype}"
                yield f"{name}: {words}, full scale; set data.range_{name[-1].lower()} BLACK,WHITE for others"


def save_selection(selection: ImageSelection, run: Path, root: str, a: Files, b: Files) -> None:
    """Write `skipped.json`, or compare it with the images that are there now.

    Raises:
        BadInput: a run that has begun would see other images than it began with.
    """
    digest = _digest(a, b)
    used = {"trainA": len(a), "trainB": len(b)}
    if selection.names_sha256 and selection.names_sha256 != digest:
        change = f"(then {_counts(selection.used)}, now {_counts(used)}, or other names)"
        remedy = "put them back, or start another run with another --out"
        raise BadInput(f"{root}: no longer holds the images that {run} began with {change}; {remedy}")
    if not selection.names_sha256:
        now = replace(selection, used=used, names_sha256=digest)
        write_text(run / SKIPPED, json.dumps(asdict(now), indent=2) + "\n")


def _digest(a: Files, b: Files) -> str:
    """SHA-256 of all names, with a zero between two."""
    digest, between = hashlib.sha256(), b""
    for name in chain(a.inside(), b.inside()):
        digest.update(between + name.encode("utf-8", "surrogateescape"))
        between = b"\0"
    return digest.hexdigest()


def _check_streamed(cfg: DataConfig) -> None:
    """What has to read every image before the first step is refused for images on the hub."""
    asked = {"data.on_bad_image skip": cfg.on_bad_image == "skip", "data.masks": cfg.masks}
    setting = next((name for name, wanted in asked.items() if wanted), None)
    if setting is None:
        return
    parts = {name: images_of(Path(cfg.root), name) for name in ("trainA", "trainB")}
    if streamed := [name for name, files in parts.items() if len(files.local()) < len(files)]:
        raise BadInput(
            f"{setting}: needs every image read before the first step, and {' and '.join(streamed)} of {cfg.root} "
            f"is on the hub; set it to its default, or bring the data here with `unpaired prepare shards`"
        )


def _read(path: Path) -> ImageSelection:
    """The selection stored in a run; nothing is left out if there is none."""
    if not path.exists():
        return ImageSelection()
    try:
        return _USABLE.validate_python(read_json(path))
    except ValidationError as error:
        words = first_problem(error)
        raise BadInput(f"{path}: expected what training wrote ({words}); start another run") from error


def _all_named(bad: list[Finding], root: str) -> str:
    named = some_of([f"{finding.path} ({finding.message})" for finding in bad], MOST_NAMED, "; ")
    return (
        f"{root}: {counted(len(bad), 'image')} cannot be used: {named}; replace or remove them "
        f"(`unpaired check {root}` lists them), or leave them out with --data.on-bad-image skip"
    )


def _counts(used: dict[str, int] | None) -> str:
    return ", ".join(f"{count} in {name}" for name, count in (used or {}).items())


_USABLE = TypeAdapter(ImageSelection)
