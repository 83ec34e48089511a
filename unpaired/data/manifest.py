"""A prepared data set: written beside its place, described in `dataset.json`, then renamed into it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Required

from PIL import Image
from pydantic import ConfigDict, PositiveInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from unpaired.config import LONGEST_NAME, DataConfig, Direction
from unpaired.core.errors import BadInput, first_problem, shown
from unpaired.core.safe_text import read_json

MANIFEST = "dataset.json"
FORMAT = 1


class Rule(TypedDict, total=False):
    """How a data set was cut and split, as far as an evaluation depends on it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]
    size: PositiveInt
    stride: PositiveInt
    globe_width: PositiveInt


class Water(TypedDict, total=False):
    """The colours of water in a domain in 8-bit levels: the arguments of `metrics.segmentation.water_mask`."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # pyright: ignore[reportGeneralTypeIssues]
    bluer_by: Required[float]
    darkest: float
    brightest: float


class Facts(TypedDict, total=False):
    """The entries of `dataset.json` that programs read."""

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]
    format: Literal[1]
    name: str
    aligned: bool
    water: dict[str, Water]
    domains: dict[str, str]
    rule: Rule
    groups: dict[str, str]
    counts: dict[str, int]
    source: dict[str, Any]
    sha256: str


_FACTS = TypeAdapter(Facts)


@dataclass
class Manifest:
    """Content and source of a data set, and the rule of its split."""

    root: Path
    counts: Counter[str] = field(default_factory=Counter)
    facts: dict[str, Any] = field(default_factory=dict)
    digest: Any = field(default_factory=hashlib.sha256)

    def save(self, image: Image.Image, name: str, folder: str = "") -> None:
        """Write `image` as the PNG `name`, a path inside the data set, and `add` its pixels."""
        image.save(self._place(name), compress_level=6)
        self.add(name, image.tobytes(), folder)

    def write(self, name: str, content: bytes) -> None:
        """Write the file `name`, a path inside the data set, and `add` it."""
        self._place(name).write_bytes(content)
        self.add(name, content)

    def add(self, name: str, content: bytes, folder: str = "") -> None:
        """Count the file `name` under `folder`, its first one unless given; name and content enter the hash."""
        self.counts[folder or name.partition("/")[0]] += 1
        self.digest.update(name.encode() + b"\0" + content)

    def _place(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def describe(self, **facts: Any) -> None:
        """Facts for `dataset.json`: name, aligned, source, rule, ..."""
        self.facts |= facts

    def to_json(self) -> str:
        """The text of `dataset.json`."""
        content = {"format": FORMAT, **self.facts, "counts": dict(sorted(self.counts.items()))}
        return json.dumps({**content, "sha256": self.digest.hexdigest()}, indent=2) + "\n"


@contextmanager
def new_dataset(out: Path) -> Iterator[Manifest]:
    """A folder to fill beside `out`; renamed to `out` when the block ends well, removed when it does not.

    Raises:
        BadInput: `out` already holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: expected a new or empty folder, found one in use; choose another or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    manifest = Manifest(part)
    try:
        yield manifest
        (part / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        if out.exists():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def domain_names(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Names of the domains A and B: `domains` of `dataset.json`, else A and B; the two always differ."""
    names = manifest.get("domains") or {}
    a, b = str(names.get("A") or "A"), str(names.get("B") or "B")
    return (a, b) if a != b else (f"{a} A", f"{b} B")


def directions_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Each direction by the names of its domains, e.g. `horses to zebras`."""
    a, b = domain_names(manifest)
    return {"AtoB": f"{a} to {b}", "BtoA": f"{b} to {a}"}


def names_of(cfg: DataConfig) -> tuple[str, str]:
    """Names of the domains A and B of a training; A and B where it has none."""
    return domain_names({"domains": {"A": cfg.name_a, "B": cfg.name_b}})


def with_names(cfg: DataConfig) -> DataConfig:
    """The settings with the domains' names of `dataset.json` filled in; those that were given stay."""
    names = read_manifest(Path(cfg.root)).get("domains") or {}
    a, b = (str(names.get(side, ""))[:LONGEST_NAME] for side in "AB")
    return replace(cfg, name_a=cfg.name_a or a, name_b=cfg.name_b or b)


def with_arrow(direction: Direction, names: tuple[str, str]) -> str:
    """A direction and, where they are known, the names of its domains: `AtoB (satellite → relief)`."""
    if names == ("A", "B"):
        return direction
    start, end = names if direction == "AtoB" else names[::-1]
    return f"{direction} ({shown(start)} → {shown(end)})"


def read_manifest(root: Path) -> dict[str, Any]:
    """The facts in `root/dataset.json`; an empty dict where the folder was not prepared by us.

    Raises:
        BadInput: the file is not JSON, or of a newer format.
    """
    path = root / MANIFEST
    if not path.exists():
        return {}
    facts = read_json(path)
    if isinstance(facts, dict) and isinstance(version := facts.get("format"), int) and version > FORMAT:
        raise BadInput(f"{path}: written by a newer version of unpaired; upgrade, or prepare the data again")
    try:
        return dict(_FACTS.validate_python(facts, strict=True))
    except ValidationError as error:
        words = f"expected what `unpaired prepare` wrote; {first_problem(error)}; prepare again"
        raise BadInput(f"{path}: {words}") from error
