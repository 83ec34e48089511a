"""The test images of a data set: which there are, whether A and B show the same places, which are independent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from unpaired.config import Pages
from unpaired.core.errors import BadInput
from unpaired.data.folders import domain_files, inside_part, within
from unpaired.data.manifest import read_manifest
from unpaired.data.ranges import Side
from unpaired.data.shared_structure import by_content
from unpaired.data.sources import ImageFile, StoredImage
from unpaired.data.sources.pages import PageArchive
from unpaired.imaging.images import Images, OneImage, read_image, to_tensor
from unpaired.imaging.kinds import without_suffix
from unpaired.imaging.pages import read_header
from unpaired.imaging.values import Domain

Paired = Literal["auto", "yes", "no"]
Paths = list[ImageFile]
Item = tuple[int, OneImage, OneImage | None]
"""An input's number, the input and its truth."""

BATCH = 16
BATCH_PIXELS = 2**20
"""At most this many pixels in a batch: 16 images of 256 x 256."""

SIDE_SUFFIX = re.compile(r"[_-][AaBb]$")
"""Suffixes of names that mark the domain only, as in place1_A.png and place1_B.png."""
PLACE = re.compile(r"lat(?P<lat>[+-][\d.]+)_lon(?P<lon>[+-][\d.]+)$")
"""Names that `prepare earth` gives: the degrees of the tile's centre."""
STRIP_DEGREES = 40
"""Width of the strips dealt to trainA, trainB and test: test tiles of two strips are far apart."""


@dataclass(frozen=True)
class HeldOut:
    """testA and testB of a prepared data set."""

    root: Path
    manifest: dict[str, Any]
    """Its `dataset.json`; empty where the folder was not prepared by us."""
    a: tuple[ImageFile, ...]
    b: tuple[ImageFile, ...]
    """Where `aligned`, the truth of `a`, in the same order."""
    aligned: bool
    decided: str
    """Why: the manifest, names and content, or the caller."""

    def side(self, side: str) -> tuple[ImageFile, ...]:
        """The files of domain A or B."""
        return self.a if side == "A" else self.b

    def name(self, path: ImageFile) -> str:
        """A file's name within its part."""
        return str(inside_part(path, self.root))

    def groups(self, side: str) -> list[str] | None:
        """The group of each image, where images are not independent of each other; None where all are.

        A group is what `prepare folders` kept together (a patient, a video, a scene), the pages of one file, or
        overlapping tiles of a globe.
        """
        files = self.side(side)
        if bands := self._bands(files):
            return bands
        kept_together = self.manifest.get("groups", {})
        names = [_in_data_set(file, self.root) for file in files]
        groups = [f"group {kept_together[name]}" if name in kept_together else name for name in names]
        return groups if len(set(groups)) < len(groups) else None

    @property
    def independent(self) -> int:
        """The number of independent test images, of the side that has fewer."""
        return min(len(set(self.groups(side) or range(len(self.side(side))))) for side in ("A", "B"))

    def _bands(self, files: Sequence[ImageFile]) -> list[str] | None:
        """Bands, one tile high, of one strip of longitude, for tiles cut closer together than they are wide.

        Taller bands widen no interval any further.
        """
        rule = self.manifest.get("rule", {})
        size, stride, globe = (rule.get(key) for key in ("size", "stride", "globe_width"))
        places = [place for path in files if (place := PLACE.search(path.stem))]
        if not (size and stride and globe) or stride >= size or len(places) < len(files):
            return None
        tall = 360 * size / globe
        degrees = ((float(place["lon"]) + 180, float(place["lat"]) + 90) for place in places)
        return [f"{lon // STRIP_DEGREES:.0f}/{lat // tall:.0f}" for lon, lat in degrees]


@dataclass(frozen=True)
class HeldOutBatch:
    """Images of one size, and their numbers in their list."""

    indices: tuple[int, ...]
    inputs: Images
    truths: Images | None


def open_held_out(root: Path, paired: Paired = "auto", limit: int | None = None, pages: Pages = "first") -> HeldOut:
    """List the test images of a data set.

    Args:
        root: Folder with testA and testB.
        paired: Whether the two show the same places: yes, no, or as the manifest says, else where names match
            one to one (a trailing _A or _B aside) and the images of a pair share more structure than others do.
        limit: Keep this many of each, spread evenly over the list.
        pages: `data.pages` of the model.

    Raises:
        BadInput: testA or testB missing or empty, or paired images that are not one to one.
    """
    if limit is not None and limit < 1:
        raise BadInput(f"limit: expected at least 1 image, got {limit}")
    a, b = _test_files(root, "A", pages), _test_files(root, "B", pages)
    manifest = read_manifest(root)
    partners = _partners(root, a, b)
    aligned, decided = _aligned(root, manifest.get("aligned"), a, b, partners, paired)
    b = partners if aligned and partners else b
    return HeldOut(root, manifest, tuple(spread(a, limit)), tuple(spread(b, limit)), aligned, decided)


def spread(items: Sequence[ImageFile], limit: int | None) -> list[ImageFile]:
    """At most `limit` items, evenly spaced over the list: sorted names often put like beside like."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[(2 * k + 1) * len(items) // (2 * limit)] for k in range(limit)]


def held_out_batches(
    inputs: Sequence[ImageFile], domain_in: Domain, truths: Sequence[ImageFile] | None, domain_out: Domain
) -> Iterator[HeldOutBatch]:
    """Every image once, in batches of equal size in pixels; `indices` are their positions.

    Raises:
        BadInput: a file that cannot be read, whose channels do not fit, or whose truth has another size.
    """
    waiting: dict[torch.Size, list[Item]] = {}
    for index, path in enumerate(inputs):
        image = read_whole(path, domain_in)
        truth = read_whole(truths[index], domain_out) if truths else None
        if truths and truth is not None and truth.shape[1:] != image.shape[1:]:
            (h, w), (other_h, other_w) = image.shape[1:], truth.shape[1:]
            sizes = f"{path} is {w}x{h} but its truth {truths[index]} is {other_w}x{other_h}"
            raise BadInput(f"{sizes}; make them one size, or evaluate with --paired no")
        same_size = waiting.setdefault(image.shape, [])
        same_size.append((index, image, truth))
        if len(same_size) >= min(BATCH, BATCH_PIXELS // (image.shape[1] * image.shape[2])):
            yield _stacked(waiting.pop(image.shape))
        elif len(waiting) > BATCH:  # a folder of many sizes: memory stays bounded
            yield _stacked(waiting.pop(next(iter(waiting))))
    yield from map(_stacked, waiting.values())


def image_size(path: ImageFile) -> tuple[int, int]:
    """Width and height in pixels, from the header where that suffices; a turned TIFF may have them exchanged."""
    if isinstance(path, Path) and (header := read_header(path)).height:
        return header.width, header.height
    height, width = read_image(path).pixels.shape[:2]
    return width, height


def read_whole(path: ImageFile, domain: Domain) -> OneImage:
    """A file at its own size, in [-1, 1]; raises `BadInput` where it cannot be read or its channels do not fit."""
    return to_tensor(domain.read(path))


def _stacked(items: list[Item]) -> HeldOutBatch:
    indices, inputs, truths = zip(*items, strict=True)
    return HeldOutBatch(indices, torch.stack(inputs), None if truths[0] is None else torch.stack(truths))


def _in_data_set(image: ImageFile, root: Path) -> str:
    """The name of a file within the data set; for a page that of its file."""
    if isinstance(image, StoredImage) and isinstance(image.archive, PageArchive):
        return image.archive.under(root)
    return str(within(image, root))


def _test_files(root: Path, side: Side, pages: Pages) -> list[ImageFile]:
    try:
        return list(domain_files(root, f"test{side}", pages=pages))
    except BadInput as error:
        raise BadInput(f"{root}: expected test images in {root / 'testA'} and {root / 'testB'}; {error}") from error


def _aligned(
    root: Path, claimed: bool | None, a: Paths, b: Paths, partners: Paths | None, paired: Paired
) -> tuple[bool, str]:
    """Whether B shows what A does, and why; `claimed` is the manifest's word on it."""
    if paired == "no":
        return False, "--paired no"
    if paired == "yes" or claimed:
        said = "--paired yes" if paired == "yes" else "dataset.json"
        if not partners and (paired != "yes" or len(a) != len(b)):
            words = f"their names do not match one to one ({len(a)} and {len(b)} images)"
            advice = "name each pair alike, or evaluate with --paired no"
            raise BadInput(f"{root}: {said} says that testA and testB show the same, but {words}; {advice}")
        return True, f"{said} says so" + ("" if partners else ", paired in the order of their names")
    if claimed is not None:
        return False, "dataset.json says so"
    if not partners:
        return False, "names do not match one to one"
    if all(SIDE_SUFFIX.search(path.stem) for path in (*a, *b)):
        return True, "names differ by _A and _B only"
    return by_content(list(zip(a, partners, strict=True)))


def _partners(root: Path, a: Paths, b: Paths) -> Paths | None:
    """The image of `b` for each of `a`, where their names match one to one."""
    names = [_stem(path, root) for path in a]
    by_name = {_stem(path, root): path for path in b}
    matching = len(set(names)) == len(a) == len(b) and by_name.keys() == set(names)
    return [by_name[name] for name in names] if matching else None


def _stem(path: ImageFile, root: Path) -> str:
    """The name that a pair shares: folders kept, suffix and a trailing _A or _B dropped."""
    inside = inside_part(path, root)
    return (inside.parent / SIDE_SUFFIX.sub("", without_suffix(inside).name)).as_posix()
