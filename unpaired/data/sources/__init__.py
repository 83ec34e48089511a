"""Where the image files of a data set are stored: folders, tar, parquet and TFRecord files, the Hugging Face hub.

A file in a folder is a plain `Path`. An archive gives the names of its images and the bytes of one of them; it unpacks
nothing to disk. Sources depend on image formats by suffix only, and codecs do not depend on sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unpaired.core.errors import BadInput
from unpaired.data.sources.base import Archive
from unpaired.data.sources.hub import HubPath
from unpaired.data.sources.parquet import SUFFIX as PARQUET
from unpaired.data.sources.parquet import ParquetArchive
from unpaired.data.sources.tar import SUFFIX as TAR
from unpaired.data.sources.tar import TarArchive
from unpaired.data.sources.tfrecord import SUFFIXES as RECORDS
from unpaired.data.sources.tfrecord import RecordArchive

KINDS: dict[str, type[Archive]] = {TAR: TarArchive, PARQUET: ParquetArchive, **dict.fromkeys(RECORDS, RecordArchive)}
"""Archives by suffix."""
ARCHIVES = tuple(KINDS)
CONCURRENT_FOOTERS = 16
"""Footers of files on the hub that are requested at once."""


@dataclass(frozen=True)
class StoredImage:
    """An image file inside an archive."""

    archive: Archive
    inside: str
    """Its name in the archive, with forward slashes."""

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.inside).name

    @property
    def stem(self) -> str:
        """`name` without its suffix."""
        return PurePosixPath(self.inside).stem

    def read(self, limit: int) -> bytes:
        """Its bytes; raises `BadInput` where it is missing, has more than `limit`, or its archive is damaged."""
        data = self.archive.read(self.inside, limit)
        if data is None:
            raise BadInput("not in its archive; list the data again")
        if len(data) > limit:
            raise BadInput(f"over the limit of {limit} bytes")
        return data

    def __str__(self) -> str:
        return f"{self.archive}/{self.inside}"


ImageFile = Path | StoredImage
"""An image of a data set: a file, or an image in an archive."""


def read_bytes(image: ImageFile, limit: int) -> bytes:
    """The content of an image file; raises `BadInput` with its name where its archive does not give it."""
    if isinstance(image, Path):
        return image.read_bytes()
    try:
        return image.read(limit)
    except BadInput as error:
        raise BadInput(f"{image}: {error}") from error


def open_archive(path: Path | HubPath) -> Archive | None:
    """The archive at `path`, or None where it is not one, by its suffix."""
    suffix = path.suffix.lower()
    kind = KINDS.get(suffix)
    readable = suffix == PARQUET if isinstance(path, HubPath) else kind and path.is_file()
    return kind(path) if kind and readable else None


def open_archives(paths: Sequence[Path | HubPath]) -> list[Archive | None]:
    """`open_archive` of each path; reads the footers of parquet files on the hub concurrently."""
    archives = [open_archive(path) for path in paths]
    with ThreadPoolExecutor(CONCURRENT_FOOTERS) as pool:
        list(pool.map(lambda archive: archive.names(), (each for each in archives if each and each.remote)))
    return archives


def image_in_archive(path: Path) -> StoredImage | None:
    """The image of a path such as `trainA/00000.tar/dog.png`; None if no parent is an archive."""
    for parent in path.parents:
        if archive := open_archive(parent):
            return StoredImage(archive, path.relative_to(parent).as_posix())
    return None
