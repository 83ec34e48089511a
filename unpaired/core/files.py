"""Writing a file so that it is there whole or not at all, and telling files apart by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Write to the path this gives; on leaving it takes the name `path`, on the disk before that if `durable`.

    Whatever stops the writing, a file that was at `path` before stays as it was and nothing is left beside it.
    """
    part = path.with_name(_part_name(path.name))
    part.unlink(missing_ok=True)  # a link that lies there would be followed to wherever it leads
    try:
        yield part
        if durable:
            flush(part)
        part.replace(path)
        if durable:
            flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _part_name(name: str) -> str:
    """A hidden name for a file being written; names of files have 255 bytes at most."""
    part = f".{name}.part"
    return part if len(os.fsencode(part)) <= 255 else f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.part"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


PIECE = 2**24
"""Bytes handed to the system at a time."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a new file, on the disk when this returns; an error names the file."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(handle, left[:PIECE]) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        error.filename = str(path)
        raise


def flush(path: Path) -> None:
    """Make sure a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
