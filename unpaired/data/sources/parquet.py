"""Parquet files with one column of images, as Hugging Face data sets have them, on this machine or on the hub.

Any row is read by itself at the cost of its row group, which parquet unpacks as a whole. Recent groups are kept.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

from unpaired.core.errors import BadInput
from unpaired.data.sources.base import Archive, Stamp
from unpaired.data.sources.hub import HubPath, RemoteFile

SUFFIX = ".parquet"
MAX_ROW_GROUP = 2 * 1024**3
"""Bytes that one row group may unpack to."""
KEPT = 1024**3
"""Bytes of row groups kept; at least the newest is kept."""
Group = list[bytes]


class RowNames(Sequence[str]):
    """Names of the rows of a file, made on demand: of a hundred million images none is listed."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: Any) -> Any:
        rows = range(self.rows)[index]
        return [_row_name(row) for row in rows] if isinstance(rows, range) else _row_name(rows)

    def __iter__(self) -> Iterator[str]:
        return map(_row_name, range(self.rows))


class ParquetArchive(Archive):
    """A parquet file of images, on this machine or on the hub; an image's name is its row number."""

    def names(self) -> RowNames:
        """The names of all rows."""
        return RowNames(_ends(self.path, self.stamp)[-1])

    def read(self, name: str, limit: int) -> bytes | None:
        """The image of one row."""
        stem, stamp = PurePosixPath(name).stem, self.stamp
        ends = _ends(self.path, stamp)
        if not stem.isdecimal() or int(stem) >= ends[-1]:
            return None
        group = bisect_right(ends, int(stem)) - 1
        rows = _GROUPS.get((self.path, group, stamp), lambda: _read_group(self.path, group, stamp))
        return rows[int(stem) - ends[group]]


def _row_name(row: int) -> str:
    return f"{row:08}.png"


class _RowGroups:
    """A cache of row groups, bounded in bytes; concurrent requests for one group read it once."""

    def __init__(self) -> None:
        self.lock, self.groups = threading.Lock(), dict[object, Future[Group]]()

    def get(self, key: object, read: Callable[[], Group]) -> Group:
        with self.lock:
            known = self.groups.pop(key, None)
            group = self.groups[key] = known or Future()  # the most recent key is last
        if known is None:
            try:
                group.set_result(read())
            except BaseException as error:
                group.set_exception(error)
                with self.lock:
                    self.groups.pop(key, None)
            self._evict()
        return group.result()

    def _evict(self) -> None:
        """Remove the oldest groups until the rest fits; the newest always stays."""
        with self.lock:
            read = {key: sum(map(len, g.result())) for key, g in self.groups.items() if g.done() and not g.exception()}
            total = sum(read.values())
            for key in list(read)[:-1]:
                if total > KEPT:
                    total -= read[key]
                    del self.groups[key]


_GROUPS = _RowGroups()


def _read_group(file: Path | HubPath, group: int, stamp: Stamp) -> Group:
    footer = _footer(file, stamp)
    size = footer.row_group(group).total_byte_size
    if size > MAX_ROW_GROUP:
        raise BadInput(f"{file}: row group {group} unpacks to {size:,} bytes, over the limit of {MAX_ROW_GROUP:,}")
    opened = _open(file, footer)
    column = _image_column(file, opened)
    # Arrow's own threads ignore a stop request, so the calling thread reads: one request for one stored column.
    values = opened.read_row_group(group, columns=[column], use_threads=False).column(0).to_pylist()
    return [(value.get("bytes") if isinstance(value, dict) else value) or b"" for value in values]


@lru_cache(maxsize=2**16)
def _ends(file: Path | HubPath, stamp: Stamp) -> tuple[int, ...]:
    """0, then for each row group the number of rows up to its end."""
    footer = _footer(file, stamp)
    _image_column(file, _open(file, footer))
    return tuple(accumulate((footer.row_group(k).num_rows for k in range(footer.num_row_groups)), initial=0))


@lru_cache(maxsize=256)
def _footer(file: Path | HubPath, _stamp: Stamp) -> Any:
    return _open(file).metadata


def _open(file: Path | HubPath, footer: Any = None) -> Any:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BadInput(f"{file}: parquet needs pyarrow; pip install 'unpaired[shards]'") from error
    try:
        if isinstance(file, HubPath):
            return ParquetFile(RemoteFile(file), metadata=footer, pre_buffer=False)
        return ParquetFile(file, metadata=footer)
    except ArrowInvalid as error:
        raise BadInput(f"{file}: not a readable parquet file ({str(error).splitlines()[0]})") from error


def _image_column(file: Path | HubPath, opened: Any) -> str:
    """The stored column of images: `bytes` of a struct, as Hugging Face writes it, or plain bytes."""
    import pyarrow

    def holds_images(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)

    columns = {field.name: field.type for field in opened.schema_arrow if holds_images(field.type)}
    if "image" in columns or len(columns) == 1:
        name = "image" if "image" in columns else next(iter(columns))
        return f"{name}.bytes" if pyarrow.types.is_struct(columns[name]) else name
    found = ", ".join(opened.schema_arrow.names)
    raise BadInput(f"{file}: expected one column of images, or one called image, found {found}")
