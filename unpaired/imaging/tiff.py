"""Images of a TIFF: decoded by tifffile, or by Pillow where it alone reads them; and TIFFs of one image."""

from __future__ import annotations

import io
import logging
import math
import struct
from typing import Any, BinaryIO

import numpy as np

from unpaired.core.errors import BadInput
from unpaired.imaging.exif import ORIENTATION, Bytes, write_directory
from unpaired.imaging.metadata import EXIF, GPS, Metadata, tiff_metadata
from unpaired.imaging.pillow import pillow_image, pillow_reader
from unpaired.imaging.pixels import BYTES_PER_PIXEL, DecodedImage, Pixels, check_size, finished, full_scale, marked
from unpaired.imaging.segments import BY_PILLOW, IMAGES, YCBCR, check_segments, is_read, name_of, ycbcr_pixels
from unpaired.imaging.tiff_pages import TiffStack

MAX_CHANNELS = 256
"""More channels than this in a file are taken for a mistake."""
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
"""TIFF's photometric interpretations that mean the same at any bit depth."""
PREMULTIPLIED, STRAIGHT = 1, 2
"""TIFF's two kinds of alpha."""
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its doubts about odd files go to stderr


def tiff_image(tiff: Any, stack: TiffStack, number: int, data: Bytes, max_pixels: int) -> DecodedImage:
    """One image of a TIFF that tifffile has opened and whose content is `data`.

    Raises `BadInput` for a kind that is not read, too large or damaged; or one of DAMAGE.
    """
    page, by_page = stack.page(tiff, number), stack.layout.by_page
    samples = stack.planes.shape[1] if by_page else page.samplesperpixel
    extra = int(page.extrasamples[0]) if samples in (2, 4) and page.extrasamples else 0
    _check_tiff_size(page, samples, max_pixels)
    about = tiff_metadata(tiff, data, page)
    tag = page.tags.get(ORIENTATION)
    turn = tag.value if tag else 1
    if (page.photometric, page.compression, page.bitspersample, samples) == (YCBCR, 1, 8, 3):
        return finished(ycbcr_pixels(page), False, turn, about)
    if not _is_plain_tiff(page, extra):
        with pillow_reader(".tif")(io.BytesIO(data)) as image:
            image.seek(int(stack.planes[number, 0]))
            return marked(pillow_image(image, max_pixels, about), about.nodata)
    if page.compression in IMAGES:
        for index in stack.planes[number]:
            check_segments(tiff.pages[int(index)].aspage())
    pixels = stack.read(tiff, number)
    first = pixels.ndim == 3 and (by_page or page.planarconfig == 2)
    pixels = np.moveaxis(pixels, 0, -1) if first else np.atleast_3d(pixels)
    if pixels.dtype == np.float64:  # GDAL's usual value is the least of its type, which float32 cannot hold
        pixels = np.where(pixels == about.nodata, np.nan, pixels)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        pixels = pixels.astype(np.float32 if pixels.dtype.kind == "f" else pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind == "f" and np.isinf(pixels).any():
        raise BadInput("holds infinite values, or values too large for 32 bits; fix them, or remove the file")
    if page.photometric == WHITE_IS_ZERO and samples == 1 and pixels.dtype != np.int16:
        pixels = np.array(full_scale(pixels.dtype), pixels.dtype) - pixels
    if extra == PREMULTIPLIED:
        pixels = _straight(pixels)
    decoded = finished(pixels, extra in (PREMULTIPLIED, STRAIGHT), turn, about)
    return marked(decoded, about.nodata)


def _straight(pixels: Pixels) -> Pixels:
    """Colours divided by the alpha that a file has multiplied them with."""
    alpha = pixels[..., -1:].astype(np.float64)
    top = full_scale(pixels.dtype)
    colours = np.divide(pixels[..., :-1] * top, alpha, out=np.zeros(pixels[..., :-1].shape), where=alpha > 0)
    colours = colours if pixels.dtype.kind == "f" else np.rint(colours.clip(0, top))
    return np.concatenate([colours.astype(pixels.dtype), pixels[..., -1:]], axis=2)


def _check_tiff_size(page: Any, samples: int, max_pixels: int) -> None:
    """All that the header lets a decoder allocate: the image, and one strip or tile."""
    check_size(page.imagewidth, page.imagelength, max_pixels)
    if samples > MAX_CHANNELS:
        raise BadInput(f"TIFF of {samples} channels; at most {MAX_CHANNELS} are read")
    width = page.dtype.itemsize if page.dtype else 1
    need = width * max(page.imagewidth * page.imagelength * page.imagedepth * samples, math.prod(page.chunks))
    if need > max_pixels * BYTES_PER_PIXEL:
        raise BadInput(f"TIFF that unpacks to {need} bytes, over the limit of {max_pixels * BYTES_PER_PIXEL}")
    if not page.is_contiguous and math.prod(page.chunked) > len(page.dataoffsets):
        raise BadInput("damaged (TIFF without the places of all its strips or tiles); replace or remove it")


def _is_plain_tiff(page: Any, extra: int) -> bool:
    """Whole samples of a known range, RGB or gray; else 8 bits at most, for Pillow to read."""
    kind, bits = page.dtype, page.bitspersample
    if not is_read(page) and page.compression not in BY_PILLOW:
        name = name_of(page.compression)
        raise BadInput(f"TIFF compressed by {name}, which is not read; save it with deflate or LZW")
    simple = is_read(page) and page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) and page.imagedepth == 1
    straight = extra != PREMULTIPLIED or page.compression in IMAGES
    if kind in (np.uint8, np.bool_) and not (simple and bits == 8 and straight) and page.compression in BY_PILLOW:
        return False
    types = (np.uint8, np.uint16, np.int16, np.float16, np.float32, np.float64)
    if kind not in types or bits != 8 * np.dtype(kind).itemsize:
        raise BadInput(f"TIFF of {kind} ({bits} bits) has no known range; convert to 8-bit, 16-bit or float")
    if not simple:
        colours = getattr(page.photometric, "name", page.photometric)
        how = f"compression {name_of(page.compression)}, colour space {colours}, depth {page.imagedepth}"
        raise BadInput(f"TIFF of {kind} in {how}; save one slice, RGB or gray, with deflate or LZW")
    return True


def encode_tiff(pixels: Pixels, decoded: DecodedImage) -> bytes:
    """A TIFF of one image, with alpha as the last channel of `pixels`."""
    import tifffile

    buffer = io.BytesIO()
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    tifffile.imwrite(buffer, flat, compression="zlib", **tiff_layout(decoded), **decoded.about.for_tiff())
    finish_tiff(buffer, decoded.about)
    return buffer.getvalue()


def finish_tiff(file: BinaryIO, about: Metadata) -> None:
    """Append the directories within EXIF to a written TIFF (open for reading and writing), and point to them.

    `Metadata.for_tiff` kept places for their tags, numbered one too low.
    """
    import tifffile

    for code in (EXIF, GPS):
        directory = (about.exif or {}).get(code)
        if isinstance(directory, dict):
            file.seek(0)
            with tifffile.TiffFile(file) as tiff:
                tag, big = tiff.pages.first.aspage().tags[code - 1], tiff.is_bigtiff
            end = file.seek(0, 2)
            end += file.write(b"\0" * (-end % 8))
            file.write(write_directory(directory, end, big))
            for place, form, number in ((tag.offset, "<H", code), (tag.valueoffset, "<I", end)):
                file.seek(place)
                file.write(struct.pack(form, number))


def tiff_layout(decoded: DecodedImage) -> dict[str, Any]:
    """Arguments of tifffile's writer that tell what the channels are."""
    colors, alpha = decoded.pixels.shape[2], ["unassalpha"] if decoded.alpha is not None else []
    more = ["unspecified"] * (colors - 1) if colors != 3 else []  # TIFF names gray and RGB; other channels are extra
    return {
        "photometric": "rgb" if colors == 3 else "minisblack",
        "planarconfig": "contig" if colors > 1 or decoded.alpha is not None else None,
        "extrasamples": [*more, *alpha] if alpha else None,
    }
