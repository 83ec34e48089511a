"""Folders of images: which files they hold, and their pixels, kept in memory while they fit."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from unpaired.archives import archive_of, entries, is_archive
from unpaired.config import DataConfig
from unpaired.data.transforms import resized
from unpaired.errors import BadInput
from unpaired.images import Pixels, image_files, read_picture, with_channels
from unpaired.texts import read_text

MAX_LIST = 256 * 1024**2
"""Largest list of files, in bytes: some two million paths."""


def domain_files(root: Path, name: str, skipped: Collection[str] = ()) -> list[Path]:
    """Every image of one part of a data set, e.g. trainA, but for the `skipped` paths inside `root`.

    Raises:
        BadInput: there are none to use, or files of a list are missing; the message lists what was found.
    """
    there = images_of(root, name)
    files = [path for path in there if within(path, root).as_posix() not in skipped]
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


def images_of(root: Path, name: str) -> list[Path]:
    """The images of one part, by paths that `read_picture` takes; empty where there are none.

    They are, together and sorted: the images in the folder `trainA`, those in its .tar and .parquet files, and those
    in `trainA*.tar` and `trainA*.parquet` beside it, or under `data/` as Hugging Face lays them out. Where there is a
    list, `trainA.txt` or `trainA.csv`, it alone counts, in its order.
    """
    files = _listed(root, name)
    return _stored(root, name) if files is None else files


def has_domain(root: Path, name: str) -> bool:
    """Whether a data set has the part called `name`, in whatever form."""
    return (root / name).is_dir() or any(path.is_file() for path in _lists(root, name)) or bool(_archives(root, name))


def _stored(root: Path, name: str) -> list[Path]:
    """The images of one part in folders and archives, sorted."""
    folder = root / name
    files = image_files(folder) if folder.is_dir() else []
    return sorted([*files, *(image for archive in _archives(root, name) for image in entries(archive))])


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
    places = [(root / name).rglob("*"), root.glob(f"{name}*"), (root / "data").glob(f"{name}*")]
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
        if pixels.nbytes <= self.room:
            self.room -= pixels.nbytes
            self.kept[path] = pixels
        return pixels
