"""Masks of training images: which mask is whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from unpaired.data.folders import own_name
from unpaired.data.sources import ImageFile
from unpaired.imaging.kinds import without_suffix

MASKS = {"trainA": "masksA", "trainB": "masksB"}
"""The part that holds the masks of another."""
File = TypeVar("File", Path, ImageFile)
GRAY_OR_RGB = (1, 3)
"""Channels that a mask's file may have."""


def masks_for(images: Sequence[ImageFile], masks: Sequence[ImageFile], root: Path, part: str) -> list[ImageFile | None]:
    """The mask of each image of one part of the data set in `root`, among those of the part that belongs to it."""
    names = [own_name(path, root, part) for path in images]
    return by_name(names, {own_name(path, root, MASKS[part]): path for path in masks})


def by_name(names: Sequence[str], masks: Mapping[str, File]) -> list[File | None]:
    """For each image's name the mask of that name, suffixes aside.

    Where sub-folders differ it is the only mask of the image's stem, if no other image has that stem.
    """
    images = [without_suffix(PurePosixPath(name)) for name in names]
    there = {without_suffix(PurePosixPath(name)): path for name, path in masks.items()}
    times = [Counter(name.name for name in some) for some in (images, there)]
    by_stem = {name.name: path for name, path in there.items() if times[0][name.name] == times[1][name.name] == 1}
    return [there.get(name, by_stem.get(name.name)) for name in images]
