"""Images inside archives, under names like those of files: `trainA/00000.tar/dog.png`, `trainA/x.parquet/00000012.png`.

A tar is a shard in WebDataset's manner, uncompressed; its index of offsets is read once, then any image by itself. A
parquet file is a part of a Hugging Face data set, with one column of images, here or on the hub. Nothing is unpacked to
disk.
"""

from __future__ import annotations

import tarfile
from functools import lru_cache
from pathlib import Path, PurePosixPath

from unpaired.core.errors import BadInput
from unpaired.imaging.codecs import SUFFIXES
from unpaired.imaging.parquet import Stamp, read_row, row_name, rows_of, stamp_of
from unpaired.imaging.remote import is_remote

PARQUET = ".parquet"
KINDS = (".tar", PARQUET)
Index = dict[str, tuple[int, int]]
"""Offset and size in bytes of each image of a tar."""


def is_archive(path: Path) -> bool:
    """Whether a path is a file of images, by its suffix."""
    if is_remote(path):
        return path.suffix.lower() == PARQUET
    return path.suffix.lower() in KINDS and path.is_file()


def archive_of(path: Path) -> Path | None:
    """The archive that the name `path` leads into, if it does."""
    return next((parent for parent in path.parents if is_archive(parent)), None)


def entries(archive: Path) -> list[Path]:
    """Every image of an archive by name, sorted.

    Raises:
        BadInput: damaged, compressed, or without a column of images.
    """
    if archive.suffix.lower() == ".tar":
        return sorted(archive / name for name in _tar_index(archive, stamp_of(archive)))
    return [archive / row_name(row) for row in range(*rows_of([archive]))]


def read_entry(path: Path, archive: Path, most: int) -> bytes:
    """The bytes of one image.

    Args:
        path: A name that `entries` gave.
        archive: The archive it leads into.
        most: Images of more bytes are refused.

    Raises:
        BadInput: no such image, too large, or the archive is damaged.
    """
    name = path.relative_to(archive).as_posix()
    data = _from_tar(archive, name, most) if archive.suffix.lower() == ".tar" else read_row(archive, name)
    if data is None:
        raise BadInput("not in its archive; list the data anew")
    if len(data) > most:
        raise BadInput(f"{len(data)} bytes is over the limit of {most}")
    return data


def _from_tar(archive: Path, name: str, most: int) -> bytes | None:
    offset, size = _tar_index(archive, stamp_of(archive)).get(name, (0, -1))
    if size < 0:
        return None
    with archive.open("rb") as file:
        file.seek(offset)
        data = file.read(min(size, most + 1))
    if len(data) < min(size, most + 1):
        raise BadInput(f"its archive ends before it; copy {archive} again")
    return data


@lru_cache(maxsize=4096)
def _tar_index(archive: Path, _stamp: Stamp) -> Index:
    index: Index = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                place = PurePosixPath(member.name)
                plain = member.isreg() and not member.sparse and place.suffix.lower() in SUFFIXES
                outside = place.is_absolute() or any(part.startswith(".") for part in place.parts)  # or hidden
                if plain and not outside:
                    index[place.as_posix()] = (member.offset_data, member.size)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BadInput(f"{archive}: not a whole, plain tar ({error}); `unpaired prepare shards` makes them") from error
    return index
