"""Folders of images: which files they hold, and their pixels, kept in memory while they fit."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import overload

from PIL import Image

from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.core.safe_text import read_text
from unpaired.data.transforms import BICUBIC, BILINEAR, fitted_size, resized
from unpaired.imaging.archives import KINDS, PARQUET, archive_of, entries, is_archive
from unpaired.imaging.images import Pixels, image_names, names_with, read_image, with_channels
from unpaired.imaging.parquet import RowNames, rows_of
from unpaired.imaging.remote import SCHEME, files_under, is_remote, matching

MAX_LIST = 256 * 1024**2
"""Largest list of files, in bytes: some two million paths."""


class Files(Sequence[Path]):
    """Images of a data set, in order; held as names, a fifth of what as many paths need."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        """`names` are paths from `root`, absolute ones of images elsewhere, or ones on the hub."""
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
        name = self.names[index]
        return Path(name) if is_remote(name) else self.root / name

    def inside(self) -> Iterator[str]:
        """As `within` names them."""
        return map(_inside, self.names)

    def here(self) -> Files:
        """Those on this machine, not on the hub."""
        if is_remote(self.root):
            return Files(self.root, [])
        if isinstance(self.names, RowNames) and all(map(is_remote, self.names.files)):
            return Files(self.root, [])
        return Files(self.root, [name for name in self.names if not is_remote(name)])

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
        there = _content(root)
        found = "no such folder" if there is None else ", ".join(there[:8]) or "an empty folder"
        raise BadInput(
            f"no images in {folder} (found in {root}: {found}); unpaired data has one folder per domain, "
            f"{root}/trainA and {root}/trainB; `unpaired prepare folders` makes them from any two folders"
        )
    return files


def images_of(root: Path, name: str) -> Files:
    """The images of one part, by paths that `read_image` takes; empty where there are none.

    They are, together and sorted: the images in the folder `trainA`, those in its .tar and .parquet files, and those
    in `trainA*.tar` and `trainA*.parquet` beside it, or under `data/` as Hugging Face lays them out. Where there is a
    list, `trainA.txt` or `trainA.csv`, it alone counts, in its order. Of a data set on the hub they are those in the
    parquet files of any folder `trainA` and those called `trainA*.parquet` in any folder.
    """
    listed = _listed(root, name)
    return _stored(root, name) if listed is None else _files(root, listed)


def has_domain(root: Path, name: str) -> bool:
    """Whether a data set has the part called `name`, in whatever form."""
    return (root / name).is_dir() or any(path.is_file() for path in _lists(root, name)) or bool(_archives(root, name))


def _content(root: Path) -> list[str] | None:
    """What lies in a data set, for a message; None where there is no such folder."""
    if is_remote(root):
        return [path.relative_to(root).as_posix() for path in files_under(root, PARQUET)]
    return sorted(path.name for path in root.iterdir()) if root.is_dir() else None


def _stored(root: Path, name: str) -> Files:
    """The images of one part in folders and archives, sorted."""
    names = [f"{name}/{image}" for image in image_names(root / name)] if (root / name).is_dir() else []
    archives = _archives(root, name)
    return _files(root, sorted([*Files(root, names), *archives])) if archives else Files(root, names)


def _files(root: Path, paths: list[Path]) -> Files:
    """Images and, where an archive stands, what it holds."""
    if paths and all(path.suffix.lower() == PARQUET for path in paths):
        return Files(root, RowNames([_name(root, path) for path in paths], rows_of(paths)))
    every = (image for path in paths for image in (entries(path) if is_archive(path) else [path]))
    return Files(root, [_name(root, path) for path in every])


def _name(root: Path, path: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _inside(name: str) -> str:
    if is_remote(name):
        return f"listed/{name.removeprefix(SCHEME).lstrip('/')}"
    if not os.path.isabs(name):
        return name
    parts = name.split("/")
    archive = next((k for k, part in enumerate(parts[:-1]) if part.lower().endswith(KINDS)), -1)
    return "/".join(["listed", *parts[archive:]])


def _listed(root: Path, name: str) -> list[Path] | None:
    """The images that a list names, in its order; None where there is no list.

    A .txt has one path a line; a .csv a column `path`, or its first one. Paths start at the list's folder. An archive
    stands for all that it holds; a name on the hub, which may have a *, for the parquet files there.

    Raises:
        BadInput: some are missing, all of them named at once, or one is named twice.
    """
    lists = [path for path in _lists(root, name) if path.is_file()]
    if not lists:
        return None
    text = read_text(lists[0], MAX_LIST)
    names = _column(text) if lists[0].suffix == ".csv" else text.splitlines()
    lines = [each.strip() for each in names if each.strip() and not each.startswith("#")]
    files = [path for each in lines for path in (matching(each, PARQUET) if is_remote(each) else [root / each])]
    missing = [str(path) for path in files if not (is_remote(path) or path.is_file()) and archive_of(path) is None]
    if missing:
        more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
        raise BadInput(f"{lists[0]}: {len(missing)} of {len(files)} files are missing: {', '.join(missing[:20])}{more}")
    twice = [str(path) for path, times in Counter(files).items() if times > 1]
    if twice:
        raise BadInput(f"{lists[0]}: named more than once: {', '.join(twice[:20])}")
    return files


def within(path: Path, root: Path) -> Path:
    """An image's path from the folder of its data set; `listed/NAME` of one that a list takes from elsewhere."""
    return path.relative_to(root) if path.is_relative_to(root) else Path(_inside(path.as_posix()))


def own_name(path: Path, root: Path, part: str) -> str:
    """An image's name among those of its part, whichever form that has; of one in a tar its name there."""
    archive = archive_of(path)
    if archive is None:
        return Path(*within(path, root).parts[1:]).as_posix()
    inside = path.relative_to(archive)
    if archive.suffix.lower() == ".tar":
        return inside.as_posix()
    return (archive.stem.removeprefix(part).lstrip("-_.") / inside).as_posix()  # rows have numbers in each file anew


def _lists(root: Path, name: str) -> tuple[Path, Path]:
    return root / f"{name}.txt", root / f"{name}.csv"


def _archives(root: Path, name: str) -> list[Path]:
    if is_remote(root):
        files = ((path, path.relative_to(root)) for path in files_under(root, PARQUET))
        return [path for path, inside in files if name in inside.parts[:-1] or inside.name.startswith(name)]
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
        return self._sized(path, channels, BICUBIC)

    def read_mask(self, path: Path) -> Pixels:
        """(h, w, 1) pixels sized as those of its image; bilinear, which leaves no value beyond those of the file.

        Raises:
            BadInput: as `read`.
        """
        return self._sized(path, 1, BILINEAR)

    def _sized(self, path: Path, channels: int, kernel: Image.Resampling) -> Pixels:
        kept = self.kept.get(path)
        if kept is not None:
            return kept
        decoded = read_image(path)
        try:
            pixels = resized(with_channels(decoded.pixels, channels), self.cfg, kernel)
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
        self._keep(path, pixels)
        return pixels

    def take(self, name: str, path: Path, pixels: Pixels) -> None:
        """Keep an image of trainA or trainB that was decoded for another reason, where it fits; sized as in `read`."""
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
