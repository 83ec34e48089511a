"""Folders of images: which files they hold, and their pixels, kept in memory while they fit."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from unpaired.config import DataConfig
from unpaired.data.transforms import resized
from unpaired.errors import BadInput
from unpaired.images import Pixels, image_files, read_picture, with_channels


def domain_files(root: Path, name: str, skipped: Collection[str] = ()) -> list[Path]:
    """Every image of one part of a data set, e.g. trainA, sorted, but for the `skipped` paths inside `root`.

    Raises:
        BadInput: the folder is missing or holds no image to use; the message lists what was found.
    """
    folder = root / name
    there = image_files(folder) if folder.is_dir() else []
    files = [path for path in there if path.relative_to(root).as_posix() not in skipped]
    if there and not files:
        raise BadInput(f"{folder}: none of its {len(there)} images can be used; `unpaired check {root}` tells why")
    if not files:
        there = sorted(path.name for path in root.iterdir()) if root.is_dir() else None
        found = "no such folder" if there is None else ", ".join(there[:8]) or "an empty folder"
        raise BadInput(
            f"no images in {folder} (found in {root}: {found}); unpaired data has one folder per domain, "
            f"{root}/trainA and {root}/trainB; `unpaired prepare folders` makes them from any two folders"
        )
    return files


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
