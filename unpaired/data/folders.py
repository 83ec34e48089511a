"""The images of a data set: which files each of its parts holds, and their pixels, kept in memory while they fit."""

from __future__ import annotations

import csv
import io
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain, groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, overload

import numpy as np
from PIL import Image

from unpaired.config import DataConfig, Pages
from unpaired.core.errors import BadInput, some_of
from unpaired.core.safe_text import read_text
from unpaired.data.sources import (
    ARCHIVES,
    PARQUET,
    ImageFile,
    StoredImage,
    image_in_archive,
    open_archive,
    open_archives,
)
from unpaired.data.sources.base import Archive, name_under
from unpaired.data.sources.folder import image_names, names_with
from unpaired.data.sources.hub import HubPath, files_under, is_remote, matching
from unpaired.data.sources.pages import PageArchive
from unpaired.data.transforms import BICUBIC, BILINEAR, fitted_size, resized
from unpaired.imaging.images import Pixels, with_channels
from unpaired.imaging.kinds import without_suffix
from unpaired.imaging.values import Domain, read_mask

if TYPE_CHECKING:
    from torch import Tensor

    from unpaired.data.resident import ResidentImages

READERS = max(2, min(16, os.cpu_count() or 1))
"""Threads that decode images at once, unless a setting asks for another number: a step on a card takes milliseconds."""
MAX_LIST = 256 * 1024**2
"""Largest list of files, in bytes: some two million paths."""
Part = tuple[Archive | None, Sequence[str]]
"""An archive and names of images in it, or None and the names of plain files, relative to the data set or absolute."""


class Files(Sequence[ImageFile]):
    """Images of a data set, in order; stored as names, which need a fifth of the memory of paths."""

    def __init__(self, root: Path, parts: Iterable[Part]) -> None:
        self.root, self.parts = root, tuple(parts)
        self.ends = tuple(accumulate(len(names) for _, names in self.parts))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @overload
    def __getitem__(self, index: int) -> ImageFile: ...

    @overload
    def __getitem__(self, index: slice) -> Files: ...

    def __getitem__(self, index: int | slice) -> ImageFile | Files:
        if isinstance(index, slice):
            return Files(self.root, _merged(self._part(k) for k in range(len(self))[index]))
        archive, (name,) = self._part(range(len(self))[index])
        return self.root / name if archive is None else StoredImage(archive, name)

    def _part(self, index: int) -> Part:
        """One image as a part of its own."""
        part = bisect_right(self.ends, index)
        archive, names = self.parts[part]
        return archive, [names[index - self.ends[part] + len(names)]]

    def inside(self) -> Iterator[str]:
        """The name of each, as `within` gives it."""
        for archive, names in self.parts:
            if archive is None:
                yield from (within(self.root / name, self.root).as_posix() for name in names)
            else:
                prefix = archive.under(self.root)
                yield from (f"{prefix}/{name}" for name in names)

    def local(self) -> Files:
        """Those on this machine, not on the hub."""
        return Files(self.root, [part for part in self.parts if not (part[0] and part[0].remote)])

    def without(self, skipped: Collection[str]) -> Files:
        """Those whose name `inside` is not among `skipped`."""
        if not skipped:
            return self
        return Files(self.root, _merged(self._part(k) for k, name in enumerate(self.inside()) if name not in skipped))


def domain_files(root: Path, name: str, skipped: Collection[str] = (), pages: Pages = "first") -> Files:
    """Every image of one part of a data set, e.g. trainA, except the `skipped` names; `pages` is `data.pages`.

    Raises:
        BadInput: no usable image, or files of a list are missing; the message lists what was found.
    """
    found = images_of(root, name, pages)
    files = found.without(skipped)
    if found and not files:
        raise BadInput(f"{root / name}: none of its {len(found)} images can be used; `unpaired check {root}` lists why")
    if not files:
        content = _content(root)
        words = "no such folder" if content is None else ", ".join(content[:8]) or "an empty folder"
        raise BadInput(
            f"no images in {root / name} (found in {root}: {words}); unpaired data has one folder per domain, "
            f"{root}/trainA and {root}/trainB; `unpaired prepare folders` makes them from any two folders"
        )
    return files


def images_of(root: Path, name: str, pages: Pages = "first") -> Files:
    """The images of one part; empty where there are none. `pages` is `data.pages`.

    These are, sorted together: the images in the folder `trainA`, those in its archives, and those in archives called
    `trainA*` beside it, or under `data/` as Hugging Face lays them out. A list, `trainA.txt` or `trainA.csv`, replaces
    all of them and sets the order. On the hub they are the images in the parquet files of any folder `trainA`, and in
    those called `trainA*.parquet` in any folder.
    """
    listed = _listed(root, name)
    files = _stored(root, name) if listed is None else listed
    return _every_page(files) if pages == "all" else files


def has_domain(root: Path, name: str) -> bool:
    """Whether a data set has the part called `name`, in whatever form; an empty folder is none."""
    folder = root / name
    filled = folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())
    return filled or _list_of(root, name) is not None or bool(_archives(root, name))


def within(image: ImageFile, root: Path) -> PurePosixPath:
    """An image's name within its data set; `listed/NAME` where a list takes it from elsewhere."""
    if isinstance(image, StoredImage):
        return PurePosixPath(image.archive.under(root), image.inside)
    return PurePosixPath(name_under(image, root))


def inside_part(image: ImageFile, root: Path) -> PurePosixPath:
    """An image's name within its part; all of it where a list takes it from the root itself."""
    parts = within(image, root).parts
    return PurePosixPath(*(parts[1:] or parts))


def own_name(image: ImageFile, root: Path, part: str) -> str:
    """An image's name within its part, whatever form the part has; for an image in a tar its name there."""
    if isinstance(image, Path):
        return str(inside_part(image, root))
    if not image.archive.numbered:
        return image.inside
    prefix = image.archive.stem.removeprefix(part).lstrip("-_.")  # row numbers start again in each file
    return f"{prefix}/{image.inside}" if prefix else image.inside


def _content(root: Path) -> list[str] | None:
    """The names in a data set, for a message; None where there is no such folder."""
    if is_remote(root):
        return [file.under(root) for file in files_under(root, PARQUET)]
    return sorted(path.name for path in root.iterdir()) if root.is_dir() else None


def _stored(root: Path, name: str) -> Files:
    """The images of one part in folders and archives, sorted."""
    names = [f"{name}/{image}" for image in image_names(root / name)] if (root / name).is_dir() else []
    archives = _archives(root, name)
    if not archives:
        return Files(root, [(None, names)])
    return _expanded(root, archives if is_remote(root) else sorted([*(root / image for image in names), *archives]))


def _every_page(files: Files) -> Files:
    """Files in folders that hold several images become parts of their own; those inside archives stay files."""

    def parts() -> Iterator[Part]:
        for archive, names in files.parts:
            if archive is not None:
                yield archive, names
                continue
            for name in names:
                path = files.root / name
                stack = PageArchive(path, str(without_suffix(inside_part(path, files.root))))
                pages = stack.names()
                yield (stack, pages) if len(pages) > 1 else (None, [name])

    return Files(files.root, _merged(parts()))


def _expanded(root: Path, entries: Sequence[ImageFile | HubPath]) -> Files:
    """Images, and for each archive all that it holds."""
    paths = [entry for entry in entries if not isinstance(entry, StoredImage)]
    archives = dict(zip(paths, open_archives(paths), strict=True))

    def part(entry: ImageFile | HubPath) -> Part:
        if isinstance(entry, StoredImage):
            return entry.archive, [entry.inside]
        if archive := archives[entry]:
            return archive, archive.names()
        path = Path(str(entry))
        return None, [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix()]

    return Files(root, _merged(map(part, entries)))


def _merged(parts: Iterable[Part]) -> list[Part]:
    """Consecutive parts of one archive, or in none, as one."""
    groups = ((archive, [names for _, names in group]) for archive, group in groupby(parts, itemgetter(0)))
    return [(archive, names[0] if len(names) == 1 else list(chain(*names))) for archive, names in groups]


def _listed(root: Path, name: str) -> Files | None:
    """The images that a list names, in its order; None where there is no list.

    A .txt has one path a line; a .csv a column `path`, or its first one. Paths start at the list's folder, and may
    have backslashes. An archive stands for all its images; a name on the hub, which may contain a *, for the parquet
    files there. Raises `BadInput` with every file that is missing, or named twice.
    """
    source = _list_of(root, name)
    if source is None:
        return None
    text = read_text(source, MAX_LIST).removeprefix("\ufeff")  # Windows programs write a byte order mark
    names = _column(text) if source.suffix == ".csv" else text.splitlines()
    lines = [each.strip() for each in names if each.strip() and not each.startswith("#")]
    entries: list[ImageFile | HubPath] = []
    missing = []
    for line in lines:
        if is_remote(line):
            entries += matching(line, PARQUET)
        elif (path := root / line).is_file() or (path := root / line.replace("\\", "/")).is_file():
            entries.append(path)
        elif stored := image_in_archive(path):
            entries.append(stored)
        else:
            missing.append(str(path))
    if missing:
        raise BadInput(f"{source}: {len(missing)} of {len(lines)} files are missing: {some_of(missing)}")
    if twice := [str(entry) for entry, times in Counter(entries).items() if times > 1]:
        raise BadInput(f"{source}: named more than once: {some_of(twice)}")
    return _expanded(root, entries)


def _list_of(root: Path, name: str) -> Path | None:
    return next((path for suffix in (".txt", ".csv") if (path := root / f"{name}{suffix}").is_file()), None)


def _archives(root: Path, name: str) -> list[Path] | list[HubPath]:
    if is_remote(root):
        files = ((file, PurePosixPath(file.under(root))) for file in files_under(root, PARQUET))
        return [file for file, inside in files if name in inside.parts[:-1] or inside.name.startswith(name)]
    inside = [root / name / file for file in names_with(root / name, ARCHIVES)] if (root / name).is_dir() else []
    candidates = [*inside, *root.glob(f"{name}*"), *(root / "data").glob(f"{name}*")]
    return sorted(path for path in candidates if open_archive(path))


def _column(text: str) -> list[str]:
    rows, column = list(csv.reader(io.StringIO(text))), 0
    if rows and "path" in rows[0]:
        column, rows = rows[0].index("path"), rows[1:]
    return [row[column] for row in rows if len(row) > column]


class PixelStore:
    """Pixels of files, sized and channelled for training, decoded once while memory lasts."""

    def __init__(self, cfg: DataConfig) -> None:
        self.cfg = cfg
        self.room = int(cfg.cache_gb * 1e9)
        """Bytes left."""
        self.kept: dict[ImageFile, Pixels] = {}
        self.resident: ResidentImages | None = None
        """Images on the device besides, where batches are to be cut there."""
        self.sizes: dict[str, dict[tuple[int, int], ImageFile]] = {"trainA": {}, "trainB": {}}
        """By part, each (width, height) after the fixed part of `data.preprocess`, and an image of that size."""

    def find(self, path: ImageFile, domain: Domain) -> Pixels | Tensor:
        """The image on the device, where it is there, or else `read`."""
        image = self.resident.images.get(path) if self.resident is not None else None
        return self.read(path, domain) if image is None else image

    def read(self, path: ImageFile, domain: Domain) -> Pixels:
        """The pixels of a file for its domain, after the fixed part of `data.preprocess`.

        Raises:
            BadInput: the file cannot be read, or does not fit the settings; the message names it.
        """
        return self._sized(path, lambda: domain.read(path), BICUBIC)

    def read_mask(self, path: ImageFile) -> Pixels:
        """(h, w, 1) pixels sized as those of its image; bilinear, which cannot overshoot; raises as `read`."""
        return self._sized(path, lambda: read_mask(path), BILINEAR)

    def _sized(self, path: ImageFile, read: Callable[[], Pixels], kernel: Image.Resampling) -> Pixels:
        kept = self.kept.get(path)
        if kept is not None:
            return kept
        pixels = read()
        try:
            pixels = resized(pixels, self.cfg, kernel)
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
        self._keep(path, pixels)
        return pixels

    def take(self, name: str, path: ImageFile, pixels: Pixels) -> None:
        """Keep an image of trainA or trainB that was decoded already, where it fits; sized as by `read`."""
        channels = {"trainA": self.cfg.channels_a, "trainB": self.cfg.channels_b}.get(name, 0)
        try:
            width, height = fitted_size(pixels.shape[1], pixels.shape[0], self.cfg)
            if pixels.dtype != np.uint8 or self.cfg.range_a or self.cfg.range_b or self.cfg.nodata is not None:
                return  # black and white are known after the last image
            if channels and width * height * channels <= self.room:
                self._keep(path, resized(with_channels(pixels, channels), self.cfg))
        except BadInput:  # the check reports it
            return

    def _keep(self, path: ImageFile, pixels: Pixels) -> None:
        if pixels.nbytes <= self.room:
            self.room -= pixels.nbytes
            self.kept[path] = pixels
