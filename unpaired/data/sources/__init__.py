"""Where the image files of a data set are stored: folders, tar, parquet and TFRecord files, the Hugging Face hub.

A file in a folder is a plain `Path`. An archive gives the names of its images and the bytes of one of them; it unpacks
nothing to disk. Sources depend on image formats by suffix only, and codecs do not depend on sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unpaired.data.sources.base import Archive, ImageFile, StoredImage, read_bytes
from unpaired.data.sources.hub import HubPath
from unpaired.data.sources.pages import PageArchive
from unpaired.data.sources.parquet import SUFFIX as PARQUET
from unpaired.data.sources.parquet import ParquetArchive, load_footers
from unpaired.data.sources.tar import SUFFIX as TAR
from unpaired.data.sources.tar import TarArchive
from unpaired.data.sources.tfrecord import SUFFIXES as RECORDS
from unpaired.data.sources.tfrecord import RecordArchive

ARCHIVES = (TAR, PARQUET, *RECORDS)
"""Suffixes of archives."""

__all__ = [
    "ARCHIVES",
    "PARQUET",
    "RECORDS",
    "Archive",
    "ImageFile",
    "PageArchive",
    "RecordArchive",
    "StoredImage",
    "image_in_archive",
    "open_archive",
    "open_archives",
    "read_bytes",
]


def open_archive(path: Path | HubPath) -> Archive | None:
    """The archive at `path`, or None where it is not one, by its suffix."""
    suffix = path.suffix.lower()
    if isinstance(path, HubPath):
        return ParquetArchive(path) if suffix == PARQUET else None
    if suffix not in ARCHIVES or not path.is_file():
        return None
    if suffix in RECORDS:
        return RecordArchive(path)
    return TarArchive(path) if suffix == TAR else ParquetArchive(path)


def open_archives(paths: Sequence[Path | HubPath]) -> list[Archive | None]:
    """`open_archive` of each path; reads the footers of parquet files on the hub concurrently.

    Raises:
        BadInput: a parquet file is damaged or has no column of images.
    """
    archives = [open_archive(path) for path in paths]
    load_footers([archive for archive in archives if isinstance(archive, ParquetArchive)])
    return archives


def image_in_archive(path: Path) -> StoredImage | None:
    """The image of a path such as `trainA/00000.tar/dog.png`; None if no parent is an archive."""
    for parent in path.parents:
        if archive := open_archive(parent):
            return StoredImage(archive, path.relative_to(parent).as_posix())
    return None
