"""`metrics`: two folders of images in, the numbers people publish out, with their recipe, n and intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unpaired.core.device import announce, pick_device
from unpaired.core.errors import BadInput
from unpaired.core.progress import track
from unpaired.core.version import __version__
from unpaired.data.prepare.download import download
from unpaired.data.prepare.published import cache_folder
from unpaired.data.ranges import found_range, values_of
from unpaired.data.sources.folder import image_files
from unpaired.features import INCEPTION_SHA256, INCEPTION_URL, Extractor, FeaturesName, load_extractor
from unpaired.features.resizing import ResizeName
from unpaired.imaging.images import read_image, shown, to_pixels, to_tensor
from unpaired.imaging.values import Domain, ValueRange
from unpaired.metrics.evidence import FEWEST, warning
from unpaired.metrics.fid import frechet_distance, memorization_informed
from unpaired.metrics.halves import HALVES, half_widths
from unpaired.metrics.kid import SEED, SUBSETS, cmmd, kernel_distance
from unpaired.metrics.prdc import NEIGHBOURS, prdc

FORMAT = 1
FEW = 500
"""Below this many images FID depends more on n than on the images."""
SHARES = ("precision", "recall", "coverage")
Numbers = dict[str, float]
Features = NDArray[np.float32]


def compare_sets(
    fake: Path,
    real: Path,
    features: FeaturesName = "efficientnet-lite0",
    weights: Path | None = None,
    resize: ResizeName = "clean",
    fetch: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """How far a folder of translations, as a set, is from a folder of real images; arguments as `unpaired metrics`.

    Returns the numbers, `intervals`, `n`, `recipe` and `notes`. `fid` is called so for the field's Inception alone,
    `fd` for any other network. Raises `BadInput` for no or too few images, images that cannot be read (all are named),
    or weights that are missing.
    """
    files = {"fake": _images(fake), "real": _images(real)}
    if features == "inception" and weights is None and fetch:
        weights = cache_folder() / INCEPTION_URL.rpartition("/")[2]
        download(INCEPTION_URL, weights, INCEPTION_SHA256)  # unless it is there
    extractor = load_extractor(features, weights, resize, pick_device(device))
    announce(extractor.device)
    domain = Domain(3, _black_and_white(files["real"]))
    rows = {side: _features(extractor, paths, side, domain) for side, paths in files.items()}
    numbers, intervals = with_intervals(rows["fake"], rows["real"], lambda a, b: set_numbers(a, b, features))
    return {
        **numbers,
        "intervals": intervals,
        "n": {side: len(paths) for side, paths in files.items()},
        "recipe": {
            **{"format": FORMAT, "unpaired": __version__, "features": extractor.name},
            **extractor.recipe,
            "quantisation": "8-bit images as stored; resized values are not rounded",
            "range": str(domain.values) if domain.values else "full scale of each file's type",
            "kid": {"subsets": SUBSETS, "seed": SEED, "kernel": "(x.y / d + 1)^3"},
            "neighbours": NEIGHBOURS,
            "interval": f"1.96 deviations of {HALVES} random halves",
        },
        "notes": _notes(files, numbers, extractor),
    }


def set_numbers(fake: Features, real: Features, features: FeaturesName) -> Numbers:
    """Every number that these features give."""
    kid, distance = kernel_distance(fake, real), frechet_distance(fake, real)
    numbers = {"fid" if features == "inception" else "fd": distance}
    if features == "inception":
        numbers["mifid"] = memorization_informed(distance, fake, real)
    numbers |= {"kid": kid.mean, "kid_std": kid.std}
    if min(len(fake), len(real)) > NEIGHBOURS:  # a half of few images may have fewer
        numbers |= asdict(prdc(fake, real))
    return numbers | ({"cmmd": cmmd(fake, real)} if features == "clip" else {})


def with_intervals(
    fake: Features, real: Features, score: Callable[[Features, Features], Numbers]
) -> tuple[Numbers, dict[str, dict[str, float]]]:
    """The numbers, and for each its interval from random halves of both sets: see `unpaired.metrics.halves`."""
    numbers = score(fake, real)
    spread = half_widths(fake, real, score, min_rows=FEWEST // 2) if min(len(fake), len(real)) >= FEWEST else {}
    spread.pop("kid_std", None)
    intervals = {}
    for name, wide in spread.items():
        least = -np.inf if name == "kid" else 0.0  # the only one that may be below
        most = 1.0 if name in SHARES else np.inf
        intervals[name] = {"low": max(numbers[name] - wide, least), "high": min(numbers[name] + wide, most)}
    return numbers, intervals


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadInput(f"{folder}: expected a folder of images, found {'a file' if folder.exists() else 'nothing'}")
    paths = image_files(folder)
    if len(paths) <= NEIGHBOURS:
        raise BadInput(f"{folder}: expected more than {NEIGHBOURS} images, found {len(paths)}")
    return paths


def _black_and_white(real: Sequence[Path]) -> ValueRange | None:
    """That of the real images, for both sets; None for their types' full scale, as of 8 bits."""
    if read_image(real[0]).pixels.dtype == np.uint8:
        return None
    every = track(real, "values of the real images")
    return found_range((values_of(read_image(path).pixels) for path in every), "auto")


def _features(extractor: Extractor, paths: Sequence[Path], title: str, domain: Domain) -> Features:
    bad: list[str] = []

    def images():
        for path in track(paths, f"features of the {title} images"):
            try:
                yield _levels(path, domain)
            except BadInput as error:
                bad.append(str(error))

    rows = extractor(images())
    if bad:
        raise BadInput(f"{len(bad)} of {len(paths)} images cannot be scored: {'; '.join(bad)}")
    return rows


def _levels(path: Path, domain: Domain) -> NDArray[np.uint8]:
    """An image in colour and 8 bits, as a file of it would be seen."""
    decoded = read_image(path)
    if decoded.pages > 1:
        raise BadInput(shown(f"{path}: holds {decoded.pages} pages or frames where one image is expected"))
    try:
        colour = domain.pixels(decoded)
    except BadInput as error:
        raise BadInput(shown(f"{path}: {error}")) from error
    return colour if colour.dtype == np.uint8 else to_pixels(to_tensor(colour))


def _notes(files: dict[str, list[Path]], numbers: Numbers, extractor: Extractor) -> list[str]:
    fewest = min(map(len, files.values()))
    notes = [few] if (few := warning(fewest)) else []
    if fewest < FEW:
        notes.append(
            f"n = {fewest}: a Frechet distance of so few images is biased upwards, by an amount that depends on n; "
            f"compare only at equal n, and prefer KID"
        )
    if numbers["kid"] < 0:
        notes.append("KID is unbiased and so may be a little below 0, where the sets cannot be told apart")
    if any(path.suffix.lower() in (".jpg", ".jpeg") for path in files["fake"]):
        notes.append("the fakes are JPEGs: compression alone moves these numbers, by tens of FID; translate to PNG")
    if extractor.name != "inception":
        notes.append(f"features of {extractor.name}: not FID as published; compare only within this recipe")
    notes.append("the best of several checkpoints has favourable numbers; report which one was scored and why")
    return notes
