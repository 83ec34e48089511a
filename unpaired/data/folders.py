"""Folders of images: which files they hold, and their pixels, kept in memory while they fit."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import overload

from unpaired.archives import KINDS, archive_of, entries, is_archive
from unpaired.config import DataConfig
from unpaired.data.transforms import fitted_size, resized
from unpaired.errors import BadInput
from unpaired.images import Pixels, image_names, names_with, read_picture, with_channels
from unpaired.texts import read_text

MAX_LIST = 256 * 1024**2
"""Largest list of files, in bytes: some two million paths."""


class Files(Sequence[Path]):
    """Images of a data set, in order; held as names, a fifth of what as many paths need."""

    def __init__(self, root: Path, names: list[str]) -> None:
        """`names` are paths from `root`, or absolute ones of images elsewhere."""
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> Files: ...

    def __getitem__(self, index: int | slice) -> Path | Files:
        if isinstance(index, slice):
            return Files(self.root, self.names[index])
        return self.root / self.names[index]

    def inside(self) -> list[str]:
        """As `within` names them."""
        return [_inside(name) for name in self.names]

    def without(self, skipped: Collection[str]) -> Files:
        """Those whose name `inside` is not among `skipped`."""
        return Files(self.root, [name for name in self.names if _inside(name) not in skipped]) if skipped else self


def domain_files(root: Path, name: str, skipped: Collection[str] = ()) -> Files:
    """Every image of one part of a data set, e.g. trainA, but for the `skipped` paths inside `root`.

    Raises:
        BadInput: there are none to use, or files of a list are missing; the message lists what was found.
    """
    there = images_of(root, name)
    files = there.without(skipped)
    if there and not files:
        raise BadInput(f"{root / name}: none of its {len(there)} images can be used; `unpaired check {root}` tells why")
    if not files:
        folder = root / name
        there = sorted(path.name for path in root.iterdir()) if root.is_dir() else None
        found = "no such folder" if there is None else ", ".join(there[:8]) or "an empty folder"
        raise BadInput(
            f"no images in {folder} (found in {root}: {found}); unpaired data has one folder per domain, "
            f"{root}/trainA and {root}/trainB; `unpaired prepare folders` makes them from any two folders"
        )
    return files


def images_of(root: Path, name: str) -> Files:
    """The images of one part, by paths that `read_picture` takes; empty where there are none.

    They are, together and sorted: the images in the folder `trainA`, those in its .tar and .parquet files, and those
    in `trainA*.tar` and `trainA*.parquet` beside it, or under `data/` as Hugging Face lays them out. Where there is a
    list, `trainA.txt` or `trainA.csv`, it alone counts, in its order.
    """
    listed = _listed(root, name)
    return _stored(root, name) if listed is None else _files(root, listed)


def has_domain(root: Path, name: str) -> bool:
    """Whether a data set has the part called `name`, in whatever form."""
    return (root / name).is_dir() or any(path.is_file() for path in _lists(root, name)) or bool(_archives(root, name))


def _stored(root: Path, name: str) -> Files:
    """The images of one part in folders and archives, sorted."""
    names = [f"{name}/{image}" for image in image_names(root / name)] if (root / name).is_dir() else []
    archives = _archives(root, name)
    if not archives:
        return Files(root, names)
    return _files(root, sorted([*Files(root, names), *(image for file in archives for image in entries(file))]))


def _files(root: Path, paths: list[Path]) -> Files:
    return Files(root, [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in paths])


def _inside(name: str) -> str:
    return f"listed/{os.path.basename(name)}" if os.path.isabs(name) else name


def _listed(root: Path, name: str) -> list[Path] | None:
    """The images that a list names, in its order; None where there is no list.

    A .txt has one path a line; a .csv a column `path`, or its first one. Paths start at the list's folder.

    Raises:
        BadInput: some are missing, all of them named at once, or one is named twice.
    """
    lists = [path for path in _lists(root, name) if path.is_file()]
    if not lists:
        return None
    text = read_text(lists[0], MAX_LIST)
    names = _column(text) if lists[0].suffix == ".csv" else text.splitlines()
    files = [root / each.strip() for each in names if each.strip() and not each.startswith("#")]
    missing = [str(path) for path in files if not path.is_file() and archive_of(path) is None]
    if missing:
        more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
        raise BadInput(f"{lists[0]}: {len(missing)} of {len(files)} files are missing: {', '.join(missing[:20])}{more}")
    twice = [str(path) for path, times in Counter(files).items() if times > 1]
    if twice:
        raise BadInput(f"{lists[0]}: named more than once: {', '.join(twice[:20])}")
    return files


def within(path: Path, root: Path) -> Path:
    """An image's path from the folder of its data set; `listed/NAME` of one that a list takes from elsewhere."""
    return path.relative_to(root) if path.is_relative_to(root) else Path("listed") / path.name


def _lists(root: Path, name: str) -> tuple[Path, Path]:
    return root / f"{name}.txt", root / f"{name}.csv"


def _archives(root: Path, name: str) -> list[Path]:
    inside = [root / name / file for file in names_with(root / name, KINDS)] if (root / name).is_dir() else []
    places = [inside, root.glob(f"{name}*"), (root / "data").glob(f"{name}*")]
    return sorted(path for place in places for path in place if is_archive(path))


def _column(text: str) -> list[str]:
    rows = list(csv.reader(io.StringIO(text)))
    column = rows[0].index("path") if rows and "path" in rows[0] else 0
    return [row[column] for row in (rows[1:] if rows and "path" in rows[0] else rows) if len(row) > column]


class PixelStore:
    """Pixels of files, sized and channelled for training, decoded once while memory lasts."""

    def __init__(self, cfg: DataConfig) -> None:
        self.cfg = cfg
        self.room = int(cfg.cache_gb * 1e9)
        """Bytes left for keeping."""
        self.kept: dict[Path, Pixels] = {}

    def read(self, path: Path, channels: int) -> Pixels:
        """(h, w, channels) pixels after the fixed part of `data.preprocess`.

        Raises:
            BadInput: the file cannot be read, or does not fit the settings; the message names it.
        """
        kept = self.kept.get(path)
        if kept is not None:
            return kept
        picture = read_picture(path)
        try:
            pixels = resized(with_channels(picture.pixels, channels), self.cfg)
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
        self._keep(path, pixels)
        return pixels

    def take(self, name: str, path: Path, pixels: Pixels) -> None:
        """Keep a picture of trainA or trainB that was decoded for another reason, where it fits; sized as in `read`."""
        channels = {"trainA": self.cfg.channels_a, "trainB": self.cfg.channels_b}.get(name, 0)
        try:
            width, height = fitted_size(pixels.shape[1], pixels.shape[0], self.cfg)
            if channels and width * height * channels * pixels.itemsize <= self.room:
                self._keep(path, resized(with_channels(pixels, channels), self.cfg))
        except BadInput:  # whoever decoded it tells
            return

    def _keep(self, path: Path, pixels: Pixels) -> None:
        if pixels.nbytes <= self.room:
            self.room -= pixels.nbytes
            self.kept[path] = pixels
