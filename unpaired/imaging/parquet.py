"""Images in parquet files, on this machine or on the hub: which rows there are, and each row's image.

Any row can be read by itself, at the price of its row group, which is what parquet unpacks together; the groups read
last are kept.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, overload

from unpaired.core.errors import BadInput
from unpaired.imaging.remote import RemoteFile, commit_of, is_remote

MAX_ROW_GROUP = 2 * 1024**3
"""Bytes that a parquet file may unpack at once."""
KEPT = 1024**3
"""Bytes of row groups kept, as long as one fits."""
FOOTERS_AT_ONCE = 16
"""Files on the hub whose footers are read side by side: each is a request or two."""
Group = list[bytes]
Stamp = tuple[object, object]


class RowNames(Sequence[str]):
    """The names of all rows of parquet files, made when asked for: of a hundred million images none is listed."""

    def __init__(self, files: Sequence[str], rows: Sequence[int]) -> None:
        """`files` are the parquet files' names, in order, and `rows` how many each has."""
        self.files, self.rows = tuple(files), tuple(rows)
        self.ends = tuple(accumulate(rows))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        row = range(len(self))[index]
        file = bisect_right(self.ends, row)
        return f"{self.files[file]}/{row_name(row - self.ends[file] + self.rows[file])}"

    def __iter__(self) -> Iterator[str]:
        for file, rows in zip(self.files, self.rows, strict=True):
            yield from (f"{file}/{row_name(row)}" for row in range(rows))


def row_name(row: int) -> str:
    """The name of a row's image inside its file."""
    return f"{row:08}.png"


def rows_of(files: Sequence[Path]) -> list[int]:
    """How many rows each file has, from its footer.

    Raises:
        BadInput: one is damaged or has no column of images.
    """
    if not any(map(is_remote, files)):
        return [_ends(file, stamp_of(file))[-1] for file in files]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        return list(pool.map(lambda file: _ends(file, stamp_of(file))[-1], files))


def read_row(file: Path, name: str) -> bytes | None:
    """The image of a row by its name; None where there is no such row.

    Raises:
        BadInput: the file is damaged, cannot be read, or has no column of images.
    """
    stem = PurePosixPath(name).stem
    ends = _ends(file, stamp_of(file))
    if not stem.isdecimal() or int(stem) >= ends[-1]:
        return None
    group = bisect_right(ends, int(stem)) - 1
    key = (file, group, stamp_of(file))
    return _GROUPS.get(key, lambda: _read_group(file, group))[int(stem) - ends[group]]


def stamp_of(file: Path) -> Stamp:
    """What changes when a file does."""
    if is_remote(file):
        return commit_of(file)
    about = file.stat()
    return about.st_mtime_ns, about.st_size


class _Groups:
    """The row groups read last, while they fit; what several threads want at once is read once."""

    def __init__(self) -> None:
        self.lock, self.groups = threading.Lock(), dict[object, Future[Group]]()

    def get(self, key: object, read: Callable[[], Group]) -> Group:
        with self.lock:
            known = self.groups.pop(key, None)
            group = self.groups[key] = known or Future()  # the one asked for last stands last
        if known is None:
            try:
                group.set_result(read())
            except BaseException as error:
                group.set_exception(error)
                with self.lock:
                    self.groups.pop(key, None)
            self._forget()
        return group.result()

    def _forget(self) -> None:
        """Leave the newest, and as many before it as fit."""
        with self.lock:
            read = {key: sum(map(len, g.result())) for key, g in self.groups.items() if g.done() and not g.exception()}
            total = sum(read.values())
            for key in list(read)[:-1]:
                if total > KEPT:
                    total -= read[key]
                    del self.groups[key]


_GROUPS = _Groups()


def _read_group(file: Path, group: int) -> Group:
    footer = _footer(file, stamp_of(file))
    size = footer.row_group(group).total_byte_size
    if size > MAX_ROW_GROUP:
        raise BadInput(f"{file}: row group {group} unpacks to {size:,} bytes, at most {MAX_ROW_GROUP:,} are read")
    opened = _open(file, footer)
    column = _image_column(file, opened)
    # One stored column is one request, made in the thread that asks: Arrow's own know nothing of a run that stops.
    values = opened.read_row_group(group, columns=[column], use_threads=False).column(0).to_pylist()
    return [(value.get("bytes") if isinstance(value, dict) else value) or b"" for value in values]


@lru_cache(maxsize=2**16)
def _ends(file: Path, stamp: Stamp) -> tuple[int, ...]:
    """0 and after it, for each row group, the number of the row that follows it."""
    footer = _footer(file, stamp)
    _image_column(file, _open(file, footer))
    return tuple(accumulate((footer.row_group(k).num_rows for k in range(footer.num_row_groups)), initial=0))


@lru_cache(maxsize=256)
def _footer(file: Path, _stamp: Stamp) -> Any:
    return _open(file).metadata


def _open(file: Path, footer: Any = None) -> Any:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BadInput(f"{file}: parquet needs pyarrow; pip install 'unpaired[shards]'") from error
    try:
        if is_remote(file):
            return ParquetFile(RemoteFile(file), metadata=footer, pre_buffer=False)
        return ParquetFile(file, metadata=footer)
    except ArrowInvalid as error:
        raise BadInput(f"{file}: not a readable parquet file ({str(error).splitlines()[0]})") from error


def _image_column(file: Path, opened: Any) -> str:
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
