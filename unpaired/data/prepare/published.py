"""`prepare NAME`: the data sets published with CycleGAN, downloaded, verified and counted.

No checksums were published. The SHA-256 of an archive is therefore remembered when it first proves whole
(it unpacks, and every folder holds the known number of images) and demanded ever after.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from unpaired.core.errors import BadInput, first_problem
from unpaired.core.files import file_sha256, write_text
from unpaired.data.manifest import Manifest, new_dataset
from unpaired.data.prepare.download import Refused, WrongHash, download
from unpaired.data.prepare.unpack import unpack_zip
from unpaired.data.sources.folder import image_files
from unpaired.imaging.kinds import without_suffix

BASE = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets"


_PINS = TypeAdapter(dict[str, str])


class Counts(NamedTuple):
    """Images in each of a set's four folders."""

    trainA: int
    trainB: int
    testA: int
    testB: int


PUBLISHED = {
    "apple2orange": Counts(995, 1019, 266, 248),
    "summer2winter_yosemite": Counts(1231, 962, 309, 238),
    "horse2zebra": Counts(1067, 1334, 120, 140),
    "monet2photo": Counts(1072, 6287, 121, 751),
    "cezanne2photo": Counts(525, 6287, 58, 751),
    "ukiyoe2photo": Counts(562, 6287, 263, 751),
    "vangogh2photo": Counts(400, 6287, 400, 751),
    "maps": Counts(1096, 1096, 1098, 1098),
    "cityscapes": Counts(2975, 2975, 500, 500),
    "facades": Counts(400, 400, 106, 106),
    "iphone2dslr_flower": Counts(1812, 3325, 569, 480),
}
"""Every set, by what its archive holds (the paper's own counts differ by a few images)."""
ALIGNED = frozenset({"maps", "cityscapes", "facades"})
"""Sets whose A and B show the same places; their files are called 1_A.jpg and 1_B.jpg."""
DOMAINS = {"maps": ("aerial", "map"), "cityscapes": ("photo", "label"), "facades": ("photo", "label")}
"""Names of the domains of sets whose own names do not contain them, as horse2zebra does."""


def prepare_published(name: str, out: Path, url: str | None = None) -> Manifest:
    """Download a published set once, and write its four folders and the manifest to `out`.

    The files stay as published, but for the names in aligned sets: 1_A.jpg and 1_B.jpg both become 1.jpg.
    The archive is kept in the cache folder, where a second call finds it.

    `url` is a mirror: the address of the archive (ending in .zip), or of the folder that holds it.

    Raises:
        BadInput: unknown name, download refused or failed, another archive than the first time, an unsafe
            archive, or other numbers of images than published.
    """
    if name not in PUBLISHED:
        known = ("folders", "earth", "emoji", *PUBLISHED)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BadInput(f"prepare: {name!r} is no data set that it makes; {hint}it makes {', '.join(known)}")
    is_archive = url is not None and _without_query(url).endswith(".zip")
    source = url if url and is_archive else f"{(url or BASE).rstrip('/')}/{name}.zip"
    # one file for each source, so that a mirror's archive never passes for the original's
    archive = cache_folder() / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:8]}" / f"{name}.zip"
    with new_dataset(out) as manifest:
        pinned = _read_pins().get(source)
        sha256 = _download(name, source, archive, pinned)
        try:
            _fill(manifest, name, archive)
        except BadInput:
            if pinned is None:  # never proved whole: a second call is to download it anew
                archive.unlink(missing_ok=True)
            raise
        write_text(_pins_path(), json.dumps(_read_pins() | {source: sha256}, indent=2, sort_keys=True) + "\n")
        a, _, b = name.partition("_")[0].partition("2")
        manifest.describe(
            name=name,
            domains=dict(zip("AB", DOMAINS.get(name) or (a, b), strict=True)),
            aligned=name in ALIGNED,
            source={"url": _without_query(source), "sha256": sha256, "bytes": archive.stat().st_size},
            rule={"split": "as published"},
        )
    return manifest


def cache_folder() -> Path:
    """Where downloads and their hashes are kept: `unpaired` in $XDG_CACHE_HOME, or else in ~/.cache."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "unpaired"


def _without_query(url: str) -> str:
    """The address as it may be shown around: a query may hold a token."""
    return url.partition("#")[0].partition("?")[0]


def _download(name: str, source: str, archive: Path, pinned: str | None) -> str:
    try:
        return download(source, archive, pinned)
    except WrongHash as error:
        words = f"the expected one was noted in {_pins_path()} at the first download"
        remedy = "Try again or use a mirror; if the set was changed on purpose, delete that line"
        raise BadInput(f"{error}; {words}. {remedy}") from error
    except Refused as error:
        if name == "cityscapes" and error.status in (403, 404):
            raise BadInput(
                f"{error}. The licence of Cityscapes keeps it off the original site: get leftImg8bit and gtFine from "
                f"https://www.cityscapes-dataset.com, then `unpaired prepare cityscapes DATA --left DIR --labels DIR`"
            ) from error
        raise


def _fill(manifest: Manifest, name: str, archive: Path) -> None:
    """Unpack beside the four folders, count, and move what belongs to them."""
    unpacked = manifest.root / ".unpacked"
    unpack_zip(archive, unpacked)
    inside = [path for path in unpacked.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    top = inside[0] if len(inside) == 1 and inside[0].is_dir() else unpacked
    files = {folder: image_files(top / folder) for folder in Counts._fields}
    expected = PUBLISHED[name]._asdict().items()
    counts = ((folder, want, len(files[folder])) for folder, want in expected)
    if wrong := [f"{folder}: expected {want} images, found {have}" for folder, want, have in counts if want != have]:
        raise BadInput(f"{name}: {'; '.join(wrong)}. Not the published archive: try again, or use another mirror")
    for folder, paths in files.items():
        for path in paths:
            inside = path.relative_to(top / folder)
            if name in ALIGNED:
                inside = inside.with_stem(inside.stem.removesuffix(f"_{folder[-1]}"))
            target = manifest.root / folder / inside
            if target.exists():
                suffix = f"with and without _{folder[-1]}"
                raise BadInput(f"{name}: {folder}/{inside} is there twice, {suffix}; use a mirror")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
            manifest.add(f"{folder}/{inside.as_posix()}", target.read_bytes())
    shutil.rmtree(unpacked)
    if name in ALIGNED:
        _check_pairs(name, manifest.root)
    manifest.describe(test_images_also_in_train={side: _shared(manifest.root, side) for side in "AB"})


def _check_pairs(name: str, root: Path) -> None:
    folders = (root / "testA", root / "testB")
    a, b = ({without_suffix(path.relative_to(folder)) for path in image_files(folder)} for folder in folders)
    if alone := "; ".join(sorted(map(str, a ^ b))):
        raise BadInput(f"{name}: expected the same names in testA and testB, found without a partner: {alone}")


def _shared(root: Path, side: str) -> int:
    """Test images whose very bytes are among the training images too (vangogh2photo is suspected of it)."""
    train = {file_sha256(path) for path in image_files(root / f"train{side}")}
    return sum(file_sha256(path) in train for path in image_files(root / f"test{side}"))


def _pins_path() -> Path:
    return cache_folder() / "pins.json"


def _read_pins() -> dict[str, str]:
    """SHA-256 by address."""
    path = _pins_path()
    try:
        return _PINS.validate_json(path.read_bytes(), strict=True) if path.exists() else {}
    except (OSError, ValueError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else error
        raise BadInput(
            f"{path}: expected JSON with one SHA-256 for each address ({reason}); remove the file"
        ) from error
