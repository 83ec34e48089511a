"""Images inside archives, under names like those of files: `trainA/00000.tar/dog.png`, `trainA/x.parquet/00000012.png`.

A tar is a shard in WebDataset's manner, uncompressed; its index of offsets is read once, then any image by itself. A
parquet file is a part of a Hugging Face data set, with one column of images. Nothing is unpacked to disk.
"""

from __future__ import annotations

import tarfile
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from unpaired.codecs import SUFFIXES
from unpaired.errors import BadInput

KINDS = (".tar", ".parquet")
MAX_ROW_GROUP = 2 * 1024**3
"""Bytes that a parquet file may unpack at once."""
Index = dict[str, tuple[int, int]]
"""Offset and size in bytes of each image of a tar."""


def is_archive(path: Path) -> bool:
    """Whether a path is a file of images, by its suffix."""
    return path.suffix.lower() in KINDS and path.is_file()


def archive_of(path: Path) -> Path | None:
    """The archive that the name `path` leads into, if it does."""
    return next((parent for parent in path.parents if parent.suffix.lower() in KINDS and parent.is_file()), None)


def entries(archive: Path) -> list[Path]:
    """Every image of an archive by name, sorted.

    Raises:
        BadInput: damaged, compressed, or without a column of images.
    """
    if archive.suffix.lower() == ".tar":
        return sorted(archive / name for name in _tar_index(archive, _stamp(archive)))
    return [archive / f"{row:08}.png" for row in range(_parquet(archive).metadata.num_rows)]


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
    data = _from_tar(archive, name, most) if archive.suffix.lower() == ".tar" else _from_parquet(archive, name)
    if data is None:
        raise BadInput("not in its archive; list the data anew")
    if len(data) > most:
        raise BadInput(f"{len(data)} bytes is over the limit of {most}")
    return data


def _from_tar(archive: Path, name: str, most: int) -> bytes | None:
    offset, size = _tar_index(archive, _stamp(archive)).get(name, (0, -1))
    if size < 0:
        return None
    with archive.open("rb") as file:
        file.seek(offset)
        data = file.read(min(size, most + 1))
    if len(data) < min(size, most + 1):
        raise BadInput(f"its archive ends before it; copy {archive} again")
    return data


@lru_cache(maxsize=4096)
def _tar_index(archive: Path, _stamp: tuple[int, int]) -> Index:
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


def _from_parquet(archive: Path, name: str) -> bytes | None:
    row = int(PurePosixPath(name).stem)
    facts = _parquet(archive).metadata
    for group in range(facts.num_row_groups):
        if row < facts.row_group(group).num_rows:
            return _row_group(archive, group, _stamp(archive))[row]
        row -= facts.row_group(group).num_rows
    return None


@lru_cache(maxsize=4)
def _row_group(archive: Path, group: int, _stamp: tuple[int, int]) -> list[bytes]:
    """The images of one row group: what has to be unpacked together."""
    file = _parquet(archive)
    size = file.metadata.row_group(group).total_byte_size
    if size > MAX_ROW_GROUP:
        raise BadInput(f"{archive}: row group {group} unpacks to {size:,} bytes, at most {MAX_ROW_GROUP:,} are read")
    column = _image_column(archive, file)
    values = file.read_row_group(group, columns=[column]).column(column).to_pylist()
    return [(value.get("bytes") if isinstance(value, dict) else value) or b"" for value in values]


def _image_column(archive: Path, file: Any) -> str:
    """The column of images: a struct with `bytes`, as Hugging Face writes it, or plain bytes."""
    import pyarrow

    def holds_images(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)

    columns = [field.name for field in file.schema_arrow if holds_images(field.type)]
    if "image" in columns or len(columns) == 1:
        return "image" if "image" in columns else columns[0]
    found = ", ".join(file.schema_arrow.names)
    raise BadInput(f"{archive}: expected one column of images, or one called image, found {found}")


def _parquet(archive: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BadInput(f"{archive}: parquet needs pyarrow; pip install 'unpaired[shards]'") from error
    try:
        return ParquetFile(archive)
    except ArrowInvalid as error:
        raise BadInput(f"{archive}: not a readable parquet file ({str(error).splitlines()[0]})") from error


def _stamp(archive: Path) -> tuple[int, int]:
    """What changes when the file does."""
    about = archive.stat()
    return about.st_mtime_ns, about.st_size
