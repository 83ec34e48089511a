"""TFRecord files of `tf.train.Example` with one encoded image each, read without TensorFlow.

A record is its length (8 bytes, least significant first), a masked CRC-32C of these, the Example, and a masked CRC-32C
of it. An Example is a protocol buffer: features by name, of which the image is a list of one byte string.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from unpaired.core.errors import BadInput
from unpaired.data.sources.base import Archive, Stamp

SUFFIXES = (".tfrec", ".tfrecord", ".tfrecords")
FEATURES = ("image", "image/encoded", "image_raw")
"""Names under which data sets keep the encoded image."""
HEAD = struct.Struct("<QI")
VARINT, BYTES = 0, 2
"""Wire types of protocol buffers; 1 and 5 are numbers of 8 and 4 bytes."""


def masked_crc(data: bytes) -> int:
    """CRC-32C as TFRecord stores it: rotated by 15 bits and moved by a constant."""
    from tensorboardX.record_writer import masked_crc32c  # imports torch, which listing images does not need

    return masked_crc32c(data)


@dataclass(frozen=True)
class RecordArchive(Archive):
    """A TFRecord file on this machine."""

    path: Path

    def names(self) -> Sequence[str]:
        """`00000000.jpg` and so on, one for each record; the content decides what the image is."""
        return [f"{number:08}.jpg" for number in range(len(_read_offsets(self.path, self.stamp)))]

    def read(self, name: str, limit: int) -> bytes | None:
        """The encoded image of a record."""
        number, offsets = int(Path(name).stem), _read_offsets(self.path, self.stamp)
        if not 0 <= number < len(offsets):
            return None
        with self.path.open("rb") as file:
            file.seek(offsets[number])
            (length, _) = HEAD.unpack(file.read(HEAD.size))
            if length > limit + 2**20:
                raise BadInput(f"record {number} has {length} bytes; replace or remove it")
            data, check = file.read(length), file.read(4)
        if len(check) < 4 or struct.unpack("<I", check)[0] != masked_crc(data):
            raise BadInput(f"record {number} is damaged (its checksum differs); copy {self.path} again")
        return image_of(data)


@lru_cache(maxsize=4096)
def _read_offsets(path: Path, _stamp: Stamp) -> Sequence[int]:
    """Where each record begins."""
    offsets, at = array("Q"), 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            head = file.read(HEAD.size)
            length, check = HEAD.unpack(head) if len(head) == HEAD.size else (0, 0)
            if len(head) < HEAD.size or check != masked_crc(head[:8]) or at + HEAD.size + length + 4 > size:
                raise BadInput(f"{path}: not a whole, uncompressed TFRecord file (at byte {at}); copy it again")
            offsets.append(at)
            at = file.seek(at + HEAD.size + length + 4)
    return offsets


def image_of(example: bytes) -> bytes:
    """The encoded image in a `tf.train.Example`; raises `BadInput` where there is none."""
    found: dict[str, bytes] = {}
    try:
        for features in _fields(example, 1):
            for entry in _fields(features, 1):
                (name,), values = list(_fields(entry, 1)), list(_fields(entry, 2))
                for value in (each for feature in values for each in _fields(feature, 1)):
                    found |= {name.decode("utf-8", "replace"): data for data in _fields(value, 1)}
    except (ValueError, IndexError) as error:
        raise BadInput("not a tf.train.Example; save the images as files") from error
    for name in FEATURES:
        if name in found:
            return found[name]
    names = ", ".join(sorted(found)[:8]) or "none"
    raise BadInput(f"an Example without the feature {' or '.join(FEATURES)} (byte strings found: {names})")


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """The byte strings of one field of a protocol buffer."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind == BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError(f"a field of {length} bytes that reaches out of its message")
            if key >> 3 == wanted:
                yield message[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
    raise ValueError("a number of over 64 bits")
