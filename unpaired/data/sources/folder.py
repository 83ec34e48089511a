"""Image files in a folder and its sub-folders. Links to folders are followed; hidden files and folders are left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from unpaired.core.errors import BadInput, shown
from unpaired.imaging.codecs import SUFFIXES, suffix_of
from unpaired.imaging.kinds import HEAD, suffix_of_name

NAMED = 5
"""Files named in the line about those left out."""


def image_files(folder: Path) -> list[Path]:
    """Every image under `folder`, sorted by path; a name without suffix is recognised by the file's first bytes."""
    return [folder / name for name in image_names(folder)]


def image_names(folder: Path) -> list[str]:
    """The paths of `image_files` inside `folder`, with forward slashes."""
    return _sorted(name for name, path in _walk(folder, with_folders=True) if _is_image(name, path))


def names_with(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Paths inside `folder`, recursively, that end in one of the lower-case `suffixes`, sorted; none is hidden."""
    return _sorted(name for name, _ in _walk(folder) if suffix_of_name(name) in suffixes)


def other_names(folder: Path, archives: Collection[str] = ()) -> list[str]:
    """Files inside `folder` that are left out: not images, or links that lead nowhere or in a circle; sorted."""
    others = [name for name, path in _walk(folder) if not _is_image(name, path)]
    others = [name for name in others if suffix_of_name(name) not in archives]
    return _sorted([*others, *_lost_links(folder)])


def left_out(names: Sequence[str]) -> str:
    """One line that counts and names files left out; empty where there are none."""
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    return f"left out {files}, not images by name: {', '.join(shown(name) for name in names[:NAMED])}{more}"


def _sorted(names: Iterator[str] | list[str]) -> list[str]:
    return sorted(names, key=lambda name: name.replace("/", "\0"))  # part by part: a folder before longer names


def _is_image(name: str, path: str) -> bool:
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


def _walk(folder: str | Path, with_folders: bool = False) -> Iterator[tuple[str, str]]:
    """Name inside `folder` and path of all files, and of folders with the name of an image, which are refused later."""
    for name, entry, is_folder in _entries(folder, "", (os.path.realpath(folder),)):
        if not is_folder or (with_folders and suffix_of_name(name) in SUFFIXES):
            yield name, entry.path


def _lost_links(folder: Path) -> Iterator[str]:
    """Links to folders that lead in a circle."""
    for name, entry, is_folder in _entries(folder, "", (os.path.realpath(folder),)):
        if is_folder and entry.is_symlink():
            place = os.path.realpath(entry.path)
            if any(_is_inside(each, place) for each in _above(folder, name)):
                yield name


def _above(folder: Path, name: str) -> set[str]:
    """The real paths of all folders that `name` is in."""
    return {os.path.realpath(folder / parent) for parent in PurePosixPath(name).parents}


def _is_inside(path: str, folder: str) -> bool:
    """Whether a real path is the folder's, or below it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: str | Path, prefix: str, above: tuple[str, ...]) -> Iterator[tuple[str, os.DirEntry[str], bool]]:
    """All files and folders; a link to a folder that one `above` is inside of is not entered."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # unreadable, removed, or a link to itself: no images there
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not _is_folder(entry):
            yield prefix + entry.name, entry, False
            continue
        place = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
        yield prefix + entry.name, entry, True
        if not any(_is_inside(each, place) for each in above):
            yield from _entries(entry.path, f"{prefix}{entry.name}/", (*above, place))
