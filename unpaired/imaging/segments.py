"""Strips and tiles of a TIFF that are images of their own: JPEG 2000, LERC, WebP, PNG; and those in YCbCr.

Such a segment states a size of its own, which is compared with that of the TIFF before anything is decoded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unpaired.core.errors import BadInput

Size = tuple[int, int, int]
"""Height, width, channels."""
STREAMS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""No compression, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard: bytes in, bytes out."""
BY_PILLOW = STREAMS | {2, 3, 4, 6, 7, 32771}
"""What libtiff in Pillow reads besides: fax, and JPEG, old and new, whose sizes it checks."""
YCBCR = 6
"""TIFF's photometric interpretation."""
SUBSAMPLING, LERC_PARAMETERS = 530, 50674
"""TIFF tags."""
USUAL = {529: (0.299, 0.587, 0.114), 532: (0, 255, 128, 255, 128, 255)}
"""The only coefficients and limits of YCbCr that are read, those of JPEG, by their TIFF tags."""
ODD = BadInput("damaged (a strip or tile is not the size that the TIFF says); replace or remove it")


def jpeg2000_size(data: bytes) -> Size:
    """By the header of a code stream; raises `BadInput` for another beginning."""
    if data[:4] != b"\xff\x4f\xff\x51":
        raise ODD
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    return bottom - top, right - left, struct.unpack_from(">H", data, 40)[0]


def _webp(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<2H", data, 26))
    else:
        raise ODD
    return height, width, 1  # four channels at most


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">2I", data, 16)
    return height, width, 1


def _lerc(data: bytes) -> Size:
    """Of all bands, which follow each other as blobs."""
    at, height, width, channels = 0, 0, 0, 0
    while data[at : at + 6] == b"Lerc2 ":
        (version,) = struct.unpack_from("<i", data, at + 6)
        start = at + (14 if version >= 3 else 10)
        rows, columns, depth = struct.unpack_from("<3i", data, start)
        depth, more = (depth, 4) if version >= 4 else (1, 0)
        (size,) = struct.unpack_from("<i", data, start + 16 + more)
        if min(rows, columns, depth, size) < 1:
            raise ODD
        height, width, channels = max(height, rows), max(width, columns), channels + depth
        at += size
    if not channels:
        raise ODD
    return height, width, channels


IMAGES: dict[int, tuple[str, Callable[[bytes], Size]]] = {
    **dict.fromkeys((34712, 33005), ("JPEG2K", jpeg2000_size)),
    **dict.fromkeys((50001, 34927), ("WEBP", _webp)),
    34933: ("PNG", _png),
    34887: ("LERC", _lerc),
}
"""Decoder in imagecodecs and header, by the number of the compression."""


def name_of(compression: int) -> str:
    """The compression in words."""
    from tifffile import COMPRESSION

    return COMPRESSION(compression).name if compression in COMPRESSION._value2member_map_ else str(compression)


def is_read(page: Any) -> bool:
    """Whether tifffile and imagecodecs decode the strips and tiles of a page."""
    import imagecodecs

    if page.compression in STREAMS:
        return True
    return page.compression in IMAGES and getattr(imagecodecs, IMAGES[page.compression][0]).available


def check_segments(page: Any) -> None:
    """Raise `BadInput` if a strip or tile states a larger size than the TIFF."""
    if page.compression not in IMAGES:
        return
    header = IMAGES[page.compression][1]
    height, width = page.chunks[:2]
    channels = 1 if page.planarconfig == 2 else page.samplesperpixel
    limit = 2 * height * width * channels * 8 + 4096
    for data in _segments(page):
        try:
            size = header(_inflated(page, data, limit))
        except struct.error as error:
            raise ODD from error
        if not (0 < size[0] <= height and 0 < size[1] <= width and size[2] <= channels):
            raise ODD


def _inflated(page: Any, data: bytes, limit: int) -> bytes:
    """LERC may be compressed again."""
    parameters = page.tags.get(LERC_PARAMETERS)
    again = int(parameters.value[1]) if page.compression == 34887 and parameters else 0
    if again == 1:
        return zlib.decompressobj().decompress(data, limit)
    if again == 2:
        from imagecodecs import zstd_decode

        return bytes(zstd_decode(data, out=limit))
    return data


def _segments(page: Any) -> Iterator[bytes]:
    file = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count:
            file.seek(offset)
            yield file.read(count)


def ycbcr_pixels(page: Any) -> NDArray[np.uint8]:
    """An uncompressed page in YCbCr of 8 bits as RGB; blocks of pixels may share their colour difference.

    Raises `BadInput` for another meaning of YCbCr than JPEG's, or damage.
    """
    for code, usual in USUAL.items():
        if code in page.tags and not np.allclose(_numbers(page.tags[code]), usual, atol=1e-3):
            raise BadInput("TIFF in a YCbCr of its own; save it as RGB")
    across, down = (int(n) for n in page.tags[SUBSAMPLING].value) if SUBSAMPLING in page.tags else (2, 2)
    if across not in (1, 2, 4) or down not in (1, 2, 4):
        raise BadInput("damaged (the subsampling of YCbCr is not 1, 2 or 4); replace or remove it")
    height, width, rows, columns = page.imagelength, page.imagewidth, *page.chunks[:2]
    beside = -(-width // columns)
    out = np.zeros((-(-height // rows) * rows, beside * columns, 3), np.uint8)
    for number, data in enumerate(_segments(page)):
        top, left = number // beside * rows, number % beside * columns
        block = _from_units(data, min(rows, height - top) if not page.is_tiled else rows, columns, across, down)
        out[top : top + block.shape[0], left : left + columns] = block
    rgb = Image.frombytes("YCbCr", (out.shape[1], out.shape[0]), out.tobytes()).convert("RGB")
    return np.asarray(rgb)[:height, :width]


def _from_units(data: bytes, height: int, width: int, across: int, down: int) -> NDArray[np.uint8]:
    """YCbCr of a strip or tile: units of brightness values, row by row, each with its two differences behind it."""
    rows, columns, bright = -(-height // down), -(-width // across), across * down
    if len(data) < rows * columns * (bright + 2):
        raise BadInput("damaged (a strip or tile is too short); replace or remove it")
    units = np.frombuffer(data, np.uint8, rows * columns * (bright + 2)).reshape(rows, columns, bright + 2)
    out = np.empty((rows, down, columns, across, 3), np.uint8)
    out[..., 0] = units[..., :bright].reshape(rows, columns, down, across).transpose(0, 2, 1, 3)
    out[..., 1:] = units[:, None, :, None, bright:]
    return out.reshape(rows * down, columns * across, 3)[:height, :width]


def _numbers(tag: Any) -> list[float]:
    """Values of rational numbers."""
    values = [float(value) for value in np.ravel(tag.value)]
    return [a / b for a, b in zip(values[::2], values[1::2], strict=True)] if int(tag.dtype) in (5, 10) else values
