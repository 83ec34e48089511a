"""The folder of a study: its settings and its images, under names that tell nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from unpaired.core.errors import BadInput
from unpaired.core.files import flush, write_text
from unpaired.core.progress import track
from unpaired.data.sources.folder import image_files
from unpaired.imaging.images import DecodedImage, Pixels, encode_image, read_image, with_channels
from unpaired.imaging.kinds import without_suffix
from unpaired.imaging.pixels import full_scale

STUDY, IMAGES = "study.json", "images"
FORMAT = 1
REAL = "real"
Names = dict[str, str]
"""Path of an image in its folder, without suffix, to its name in the study."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is shown to whom. Images are named by a hash; which are real is known here only."""

    seed: int
    """Order, sides and names depend on it."""
    exposure_ms: int = 1000
    """How long a pair is shown."""
    practice: int = 10
    """First trials, with feedback, not scored."""
    scored: int = 40
    """Trials that count."""
    checks: int = 6
    """Trials among the scored ones whose fake is noise or flat, not scored: who fails more than one is left out."""
    pairs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Per algorithm, images (real, fake) that are shown together."""
    obvious: list[tuple[str, str]] = field(default_factory=list)
    """The pairs (real, fake) of the checks."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        for name, least in (("exposure_ms", 1), ("practice", 0), ("scored", 1), ("checks", 0)):
            if (found := getattr(self, name)) < least:
                raise BadInput(f"{name.replace('_', '-')}: expected at least {least}, got {found}")


def prepare_study(out: Path, real: Path, fakes: Mapping[str, Path], seed: int = 0, **settings: Any) -> Study:
    """Make the folder of a study.

    A fake is shown beside the real image of the same name, where all names match (the truth for its input);
    otherwise beside a random one. All images are stored as 8-bit PNG without metadata, so that nothing but what
    they show tells them apart.

    Args:
        out: Folder to make.
        real: Folder of real images.
        fakes: For each algorithm the folder of its images.
        seed: Decides pairs, order and sides.
        settings: exposure_ms, practice, scored and checks; see `Study`, whose defaults are the paper's, which tells
            of no checks.

    Raises:
        BadInput: a folder without images, images that cannot be read or differ in size, or `out` in use.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: already there; choose another folder, answers are never overwritten")
    study = Study(seed=seed, **settings)
    if not fakes or REAL in fakes:
        raise BadInput('a study needs the images of at least one algorithm, and none may be named "real"')
    files = {name: _files(folder) for name, folder in {REAL: real, **fakes}.items()}
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        names = _store(part / IMAGES, files, seed)
        sheet = {name: _pairs(names[REAL], names[name], f"{seed}/{name}") for name in fakes}
        study = replace(study, pairs=sheet, obvious=_obvious(part / IMAGES, list(names[REAL].values()), study))
        write_text(part / STUDY, json.dumps(asdict(study), indent=1))
        if out.exists():
            out.rmdir()
        part.rename(out)
        flush(out.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return study


def open_study(folder: Path) -> Study:
    """A prepared study.

    Raises:
        BadInput: not the folder of a study, or one of a newer format.
    """
    path = Path(folder) / STUDY
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] > FORMAT:
            raise BadInput(f"{path}: format {facts['format']}, this version reads up to {FORMAT}; upgrade unpaired")
        facts["pairs"] = {name: [(real, fake) for real, fake in pairs] for name, pairs in facts["pairs"].items()}
        facts["obvious"] = [(real, fake) for real, fake in facts["obvious"]]
        return Study(**facts)
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", error)
        raise BadInput(f"{path}: expected a study made by `unpaired study prepare` ({reason})") from error


def _files(folder: Path) -> dict[str, Path]:
    """Images by their path in the folder, without suffix."""
    files = image_files(folder) if folder.is_dir() else []
    if not files:
        raise BadInput(f"{folder}: expected a folder of images, found {'none' if folder.is_dir() else 'no folder'}")
    return {without_suffix(path.relative_to(folder)).as_posix(): path for path in files}


def _store(folder: Path, files: Mapping[str, Mapping[str, Path]], seed: int) -> dict[str, Names]:
    """Write every image under a name that tells nothing."""
    folder.mkdir(parents=True)
    names: dict[str, Names] = {}
    sizes: dict[tuple[int, int], Path] = {}
    bad = []
    everything = [(group, key, path) for group, paths in files.items() for key, path in paths.items()]
    for group, key, path in track(everything, "preparing the study"):
        try:
            pixels = _shown(read_image(path))
        except BadInput as error:
            bad.append(str(error))
            continue
        sizes.setdefault(pixels.shape[:2], path)
        names.setdefault(group, {})[key] = _keep(folder, pixels, seed)
    if bad:
        raise BadInput(f"{len(bad)} of {len(everything)} images cannot be shown: {'; '.join(bad)}")
    if len(sizes) > 1:
        found = ", ".join(f"{width}x{height} ({path})" for (height, width), path in sizes.items())
        raise BadInput(f"expected images of one size, by which fakes cannot be told; found {found}")
    return names


def _shown(image: DecodedImage) -> Pixels:
    """RGB of 8 bits, what a browser shows of any image."""
    pixels = image.pixels[..., :3] if image.pixels.shape[2] > 3 else with_channels(image.pixels, 3)
    return np.rint(pixels.astype(np.float64).clip(0, None) * (255 / full_scale(pixels.dtype))).astype(np.uint8)


def _keep(folder: Path, pixels: Pixels, seed: int) -> str:
    content = encode_image(DecodedImage(pixels), ".png")
    name = hashlib.sha256(f"{seed}/".encode() + content).hexdigest()[:24]
    (folder / f"{name}.png").write_bytes(content)
    return name


def _pairs(real: Names, fake: Names, seed: str) -> list[tuple[str, str]]:
    """Each fake with the real image of its name, or in random order where names differ."""
    if set(fake) <= set(real):
        return [(real[key], name) for key, name in fake.items()]
    others = list(real.values())
    Random(seed).shuffle(others)
    return [(others[number % len(others)], name) for number, name in enumerate(fake.values())]


def _obvious(folder: Path, real: list[str], study: Study) -> list[tuple[str, str]]:
    """Pairs that nobody who looks can get wrong: noise and flat colours beside real images."""
    rng = np.random.default_rng(study.seed)
    height, width = read_image(folder / f"{real[0]}.png").pixels.shape[:2]
    chosen = [real[number] for number in rng.integers(len(real), size=study.checks)]
    fakes = []
    for number in range(study.checks):
        colors = rng.integers(256, size=(height, width, 3) if number % 2 else (1, 1, 3), dtype=np.uint8)
        fakes.append(_keep(folder, np.ascontiguousarray(np.broadcast_to(colors, (height, width, 3))), study.seed))
    return list(zip(chosen, fakes, strict=True))
