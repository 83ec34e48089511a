"""EXIF blocks, which are small TIFF files: taken apart, cleaned, and put together again anywhere.

Values are moved, so a maker's private note that counts its offsets from the start of the old block no longer finds
what lies outside of it; the standard tags do not do that.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass

import numpy as np

Bytes = bytes | mmap.mmap
Directory = dict[int, "Entry | Directory"]
"""Values and directories within (EXIF, GPS, interoperability) by tag."""

ORIENTATION = 0x0112
"""Which way up the camera was held."""
WITHIN = {0x8769, 0x8825, 0xA005}
"""Tags that lead to another directory: EXIF, GPS, interoperability."""
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type's number (TIFF 6.0, section 2)."""
WORDS = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 4, 10: 4, 12: 8, 16: 8, 17: 8, 18: 8}
"""Bytes that change places where the byte order does, by type."""
LAYOUT = {False: ("H", "HHI", "I", 4), True: ("Q", "HHQ", "Q", 8)}
"""Of TIFF and of BigTIFF: count of entries, entry, offset, and the bytes of a value that stand in the entry itself."""


@dataclass(frozen=True)
class Entry:
    """A tag's value: its type's number and its bytes, least significant first."""

    type: int
    data: bytes


def read_exif(block: bytes) -> Directory:
    """The first directory of a block, with those within, without the thumbnail's; raises ValueError where damaged."""
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        raise ValueError(f"an EXIF block that begins with {block[:8]!r}")
    return read_directory(block, order, struct.unpack_from(f"{order}I", block, 4)[0])


def read_directory(file: Bytes, order: str, at: int, big: bool = False) -> Directory:
    """The directory at `at` of a TIFF (or BigTIFF) file in byte order "<" or ">"; raises ValueError where damaged."""
    try:
        return _read(file, order, at, big, depth=0)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a damaged EXIF block ({error})") from error


def _read(file: Bytes, order: str, at: int, big: bool, depth: int) -> Directory:
    count, entry, offset, inline = LAYOUT[big]
    (entries,) = struct.unpack_from(order + count, file, at)
    if entries > 1000 or depth > 2:
        raise ValueError(f"an EXIF directory of {entries} entries at depth {depth}")
    found: Directory = {}
    head = struct.calcsize(order + entry)
    first = at + struct.calcsize(order + count)
    for place in range(first, first + (head + inline) * entries, head + inline):
        tag, kind, number = struct.unpack_from(order + entry, file, place)
        if kind not in SIZES:
            continue
        length = SIZES[kind] * number
        start = place + head if length <= inline else struct.unpack_from(order + offset, file, place + head)[0]
        if start + length > len(file):
            raise ValueError(f"EXIF tag {tag} that reaches out of its block")
        if tag in WITHIN:
            inside = struct.unpack_from(order + (offset if SIZES[kind] == 8 else "I"), file, start)[0]
            found[tag] = _read(file, order, inside, big, depth + 1)
        else:
            data = file[start : start + length]
            if order == ">" and kind in WORDS:
                data = np.frombuffer(data, f">u{WORDS[kind]}").astype(f"<u{WORDS[kind]}").tobytes()
            found[tag] = Entry(4 if kind == 13 else kind, data)
    return found


def write_exif(directory: Directory) -> bytes:
    """A block of its own."""
    return struct.pack("<2sHI", b"II", 42, 8) + write_directory(directory, 8)


def write_directory(directory: Directory, at: int, big: bool = False) -> bytes:
    """A directory for the place `at` of a TIFF (or BigTIFF) file, its values behind it."""
    count, entry, offset, inline = LAYOUT[big]
    width = struct.calcsize(f"<{entry}") + inline
    place = at + struct.calcsize(f"<{count}") + width * len(directory) + inline
    table, values = struct.pack(f"<{count}", len(directory)), b""
    for tag, item in sorted(directory.items()):
        if isinstance(item, Entry):
            kind, data, number = item.type, item.data, len(item.data) // SIZES[item.type]
        else:
            kind, number, data = 16 if big else 4, 1, struct.pack(f"<{offset}", place + len(values))
            values += write_directory(item, place + len(values), big)
        if len(data) > inline:
            where = struct.pack(f"<{offset}", place + len(values))
            values += data + b"\0" * (-len(data) % 8)
        else:
            where = data.ljust(inline, b"\0")
        table += struct.pack(f"<{entry}", tag, kind, number) + where
    return table + struct.pack(f"<{offset}", 0) + values
