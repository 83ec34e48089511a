"""Image files in a folder and its sub-folders. Links to folders are followed; hidden files and folders are left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Literal

from unpaired.core.errors import BadInput, counted, some_of
from unpaired.imaging.kinds import HEAD, SUFFIXES, suffix_of, suffix_of_name

NAMED = 5
"""Files named in the line about those left out."""
Entry = tuple[str, str, Literal["file", "folder", "circle"]]
"""Name inside the folder, path and kind; a circle is a link to a folder that it is inside of."""


def image_files(folder: Path) -> list[Path]:
    """Every image under `folder`, sorted by path; a name without suffix is recognised by the file's first bytes."""
    return [folder / name for name in image_names(folder)]


def image_names(folder: Path) -> list[str]:
    """The paths of `image_files` inside `folder`, with forward slashes."""
    return _sorted(name for name, path, _ in _entries(folder) if _is_image(name, path))


def names_with(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Paths inside `folder`, recursively, that end in one of the lower-case `suffixes`, sorted; none is hidden."""
    return _sorted(name for name, _, kind in _entries(folder) if kind == "file" and suffix_of_name(name) in suffixes)


def other_names(folder: Path, archives: Collection[str] = ()) -> list[str]:
    """Files inside `folder` that are left out: not images, or links that lead nowhere or in a circle; sorted."""

    def is_other(name: str, path: str) -> bool:
        return suffix_of_name(name) not in archives and not _is_image(name, path)

    return _sorted(
        n for n, path, kind in _entries(folder) if kind == "circle" or (kind == "file" and is_other(n, path))
    )


def left_out(names: Sequence[str]) -> str:
    """One line that counts and names files left out; empty where there are none."""
    return f"left out {counted(len(names), 'file')}, not images by name: {some_of(names, NAMED)}" if names else ""


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: name.replace("/", "\0"))  # part by part: a folder before longer names


def _is_image(name: str, path: str) -> bool:
    """By its name or first bytes; a folder with the name of an image is one, and refused later."""
    suffix = suffix_of_name(name)
    if suffix:
        return suffix in SUFFIXES
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return bool(suffix_of(file.read(HEAD)))
    except (OSError, BadInput):
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or a file system that fails
        return False


def _entries(folder: str | Path, prefix: str = "", above: tuple[str, ...] = ()) -> Iterator[Entry]:
    """All files and folders; `above` are the real paths of the folder and of those it is in."""
    above = above or (os.path.realpath(folder),)
    try:
        entries = list(os.scandir(folder))
    except OSError:  # unreadable, removed, or a link to itself: no images there
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith("."):
            continue
        if not _is_folder(entry):
            yield name, entry.path, "file"
            continue
        place = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
        if any(PurePath(each).is_relative_to(place) for each in above):
            yield name, entry.path, "circle"
        else:
            yield name, entry.path, "folder"
            yield from _entries(entry.path, f"{name}/", (*above, place))
