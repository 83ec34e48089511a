"""PPM and deep PNG, which Pillow would round to 8 bits, and the bytes of an image file of any format."""

from __future__ import annotations

import io
import math
import re
from itertools import takewhile
from typing import Any

import numpy as np
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.exif import Bytes
from unpaired.imaging.kinds import ALIASES, MEDICAL, SUFFIXES
from unpaired.imaging.medical import encode_medical
from unpaired.imaging.metadata import NOTHING, metadata_of, png_chunks, png_info
from unpaired.imaging.pillow import orientation_of, pillow_reader, to_pillow
from unpaired.imaging.pixels import DecodedImage, Layout, Pages, Pixels, check_size, finished
from unpaired.imaging.tiff import encode_tiff


def open_ppm(data: Bytes, max_pixels: int) -> Pages:
    """A binary PPM or PGM of 8 or 16 bits; raises `BadInput`."""
    header = re.match(rb"P([56])(?:\s+(?:#[^\n]*\n\s*)*)(\d{1,9})\s+(\d{1,9})\s+(\d{1,5})\s", data[:4096])
    if header is None:
        raise BadInput("damaged (a PPM header that cannot be read); replace or remove it")
    width, height, top = (int(number) for number in header.groups()[1:])
    shape = height, width, 1 if header[1] == b"5" else 3

    def read(_: int) -> DecodedImage:
        check_size(width, height, max_pixels)
        if top not in (255, 65535) and top < 256:
            raise BadInput(f"PPM with {top} as white; save it with 255 or 65535")
        kind = np.dtype(">u2" if top > 255 else np.uint8)
        pixels = np.frombuffer(data, kind, math.prod(shape), header.end()).reshape(shape)
        return finished(pixels.astype(kind.newbyteorder("=")), False, 1, NOTHING)

    return Pages(Layout(1), height, width, read)


def open_deep_png(data: Bytes, max_pixels: int) -> Pages:
    """A PNG of 16 bits; raises `BadInput` for an animated one."""
    if b"acTL" in (kind for kind, _ in takewhile(lambda chunk: chunk[0] != b"IDAT", png_chunks(data))):
        raise BadInput("animated PNG of 16 bits; save it with 8 bits, or each frame as a file")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))

    def read(_: int) -> DecodedImage:
        from imagecodecs import png_decode

        check_size(width, height, max_pixels)
        about, needed = Image.new("1", (1, 1)), (b"IHDR", b"tRNS", b"IDAT", b"IEND")  # libpng warns about the others
        about.info.update(png_info((kind, chunk[8:-4]) for kind, chunk in png_chunks(data) if kind not in needed))
        bare = data[:8] + b"".join(chunk for kind, chunk in png_chunks(data) if kind in needed)
        pixels = np.atleast_3d(png_decode(bare))
        return finished(pixels, pixels.shape[2] in (2, 4), orientation_of(about), metadata_of(about.info))

    return Pages(Layout(1), height, width, read)


def _encode_ppm(pixels: Pixels) -> bytes:
    height, width, channels = pixels.shape
    head = f"P{5 if channels == 1 else 6}\n{width} {height}\n{np.iinfo(pixels.dtype).max}\n".encode()
    return head + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def encode(decoded: DecodedImage, suffix: str) -> bytes:
    """The bytes of a file of the kind `suffix`; raises `BadInput` if it cannot hold this depth, channels or size."""
    pixels = np.ascontiguousarray(decoded.layers)  # a network's output comes channels first
    colors, channels, deep = decoded.pixels.shape[2], pixels.shape[2], pixels.dtype != np.uint8
    plain = colors in (1, 3)  # two or four colours without alpha would come back as gray or RGB with alpha
    if suffix not in SUFFIXES:
        raise BadInput(f"expected a name ending in {', '.join(sorted(SUFFIXES))}")
    suffix = ALIASES.get(suffix, suffix)
    if suffix in MEDICAL:
        return encode_medical([decoded], suffix)
    if suffix == ".tif":
        return encode_tiff(pixels, decoded)
    if suffix == ".ppm" and channels in (1, 3) and pixels.dtype in (np.uint8, np.uint16):
        return _encode_ppm(pixels)
    if suffix == ".png" and pixels.dtype == np.uint16 and plain:
        from imagecodecs import png_encode

        return decoded.about.into_png(bytes(png_encode(pixels)))
    if deep or not plain or (channels in (2, 4) and suffix in (".jpg", ".bmp", ".ppm")):
        kind = f"{channels} channels of {pixels.dtype}"
        raise BadInput(f"{suffix} cannot hold {kind}; choose .png (to 16 bits) or .tif (any)")
    buffer, image = io.BytesIO(), to_pillow(pixels)
    options: dict[str, dict[str, Any]] = {".webp": {"lossless": True, "exact": True}, ".gif": {"optimize": False}}
    options |= dict.fromkeys((".jpg", ".avif", ".heic"), {"quality": 95})
    if suffix == ".gif" and channels == 3:
        image = image.quantize(256, Image.Quantize.MEDIANCUT)  # a palette of the image's own colours
    if suffix == ".heic":
        pillow_reader(suffix)
        import pillow_heif

        pillow_heif.register_heif_opener()
    beside = decoded.about.for_pillow(suffix) if suffix != ".png" else {}
    try:
        image.save(buffer, Image.registered_extensions()[suffix], **options.get(suffix, {}), **beside)
    except (OSError, ValueError) as error:  # more pixels a side than WebP (16383) or JPEG (65500) has
        raise BadInput(f"{suffix} cannot hold {image.width}x{image.height} ({error})") from error
    return decoded.about.into_png(buffer.getvalue()) if suffix == ".png" else buffer.getvalue()
