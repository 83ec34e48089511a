"""Images too big for memory, poured block by block into an array on disk: TIFF by tifffile, others by libvips."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput, naming
from unpaired.imaging.exif import ORIENTATION
from unpaired.imaging.images import DecodedImage, Pixels, read_image
from unpaired.imaging.kinds import HEAD, suffix_of
from unpaired.imaging.metadata import Metadata, metadata_of, tiff_metadata
from unpaired.imaging.pages import read_header
from unpaired.imaging.pixels import DAMAGE, MAX_PIXELS, TURNED
from unpaired.imaging.segments import YCBCR, check_segments, is_read
from unpaired.imaging.tiff_pages import open_tiff, tiff_stack
from unpaired.imaging.values import stored_values

MOST_PIXELS = 10**10
"""Larger images are taken for a mistake."""
IN_MEMORY = 50_000_000
"""Images of fewer pixels are decoded whole."""
LARGEST_BLOCK = 2**28
"""Bytes that one strip or tile of a file may unpack to."""
ROWS = 256
"""Rows read at a time where the file leaves the choice."""
VIPS_KINDS = {"uchar": np.uint8, "ushort": np.uint16, "short": np.int16, "float": np.float32}
"""Kinds of pixels by libvips's names for them."""
Block = tuple[tuple[slice, slice, slice], Pixels]
"""Rows, columns and channels of the file, and their content."""


@dataclass(frozen=True)
class Stream:
    """An image that is read in blocks."""

    size: tuple[int, int]
    """Height and width as stored, before it is turned upright."""
    channels: int
    """Colours, and opacity as the last."""
    dtype: np.dtype
    has_alpha: bool
    orientation: int
    about: Metadata
    """True of the upright image."""
    blocks: Callable[[], Iterator[Block]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the upright image: height, width, channels."""
        height, width = self.size[::-1] if self.orientation in TURNED else self.size
        return height, width, self.channels

    def pour(self, into: Callable[[], NDArray]) -> None:
        """Write every block at its place of the upright image; BadInput if it is damaged or holds infinite values."""
        try:
            for place, block in self.blocks():
                if block.dtype.kind == "f" and np.isinf(block).any():
                    raise BadInput("holds infinite values; fix them, or remove the file")
                as_stored(into(), self.orientation)[place] = block
        except BadInput:
            raise
        except DAMAGE as error:
            raise BadInput(f"damaged ({type(error).__name__}: {error}); replace or remove it") from error


def as_stored(upright: NDArray, orientation: int) -> NDArray:
    """A view of an upright image (h, w, c) in which rows and columns are those of the file."""
    view = upright[::-1] if orientation in (3, 4, 7, 8) else upright
    view = view[:, ::-1] if orientation in (2, 3, 6, 7) else view
    return view.transpose(1, 0, 2) if orientation in TURNED else view


def open_stream(path: Path) -> Stream:
    """The image in a file, by the rule of `unpaired.imaging.images`, without its pixels in memory where that can be.

    Raises BadInput if it cannot be read, or only with the extra `big`.
    """
    try:
        height, width, _ = read_header(path)
        if height * width > MOST_PIXELS:
            raise BadInput(f"{width}x{height} is over the limit of {MOST_PIXELS} pixels")
        stream = _tiff(path) if _magic(path) == ".tif" else None
        if stream is None and height * width > IN_MEMORY:
            stream = _vips(path, needed=height * width > MAX_PIXELS)
    except BadInput as error:
        raise BadInput(naming(path, error)) from error
    except DAMAGE as error:
        raise BadInput(f"{path}: damaged ({type(error).__name__}: {error}); replace or remove it") from error
    return stream or in_memory(read_image(path))


def in_memory(decoded: DecodedImage) -> Stream:
    """A decoded image as a stream of one block; pixels without data have their value again."""
    colours = stored_values(decoded)
    pixels = colours if decoded.alpha is None else np.concatenate([colours, decoded.alpha], axis=2)
    height, width, channels = pixels.shape
    whole = (slice(0, height), slice(0, width), slice(0, channels))
    has_alpha = decoded.alpha is not None
    return Stream((height, width), channels, pixels.dtype, has_alpha, 1, decoded.about, lambda: iter([(whole, pixels)]))


def _magic(path: Path) -> str:
    with path.open("rb") as file:
        return suffix_of(file.read(HEAD))


def _tiff(path: Path) -> Stream | None:
    """None for the kinds that other decoders know better: palettes, JPEG inside, channels as pages."""
    with open_tiff(path) as tiff:
        page: Any = tiff.pages.first
        simple = is_read(page) and page.photometric in (1, 2) and page.imagedepth == 1
        kind: Any = page.dtype
        whole = kind in VIPS_KINDS.values() and page.bitspersample == 8 * kind.itemsize
        extra = int(page.extrasamples[0]) if page.samplesperpixel in (2, 4) and page.extrasamples else 0
        if not (simple and whole) or tiff_stack(tiff).layout.by_page or extra == 1:
            return None
        if not page.is_memmappable and np.prod(page.chunks) * kind.itemsize > LARGEST_BLOCK:
            return None
        check_segments(page)
        size, orientation = (page.imagelength, page.imagewidth), page.tags.get(ORIENTATION)
        turn = int(orientation.value) if orientation else 1
        about = _tiff_about(path).upright(turned=turn in range(2, 9))
        about = about.with_channels(page.samplesperpixel - (extra == 2))
        blocks = partial(_tiff_blocks, path)
        return Stream(size, page.samplesperpixel, kind.newbyteorder("="), extra == 2, turn, about, blocks)


def _tiff_blocks(path: Path) -> Iterator[Block]:
    with open_tiff(path) as tiff:
        page: Any = tiff.pages.first
        channels = page.samplesperpixel
        if page.is_memmappable:
            yield from _mapped_blocks(path, page, tiff.byteorder)
            return
        for segment, (plane, _, top, left, _), (_, height, width, samples) in page.segments(buffersize=2**25):
            height, width = min(height, page.imagelength - top), min(width, page.imagewidth - left)
            rows, columns = slice(top, top + height), slice(left, left + width)
            every = slice(plane, plane + 1) if page.planarconfig == 2 else slice(0, channels)
            if segment is None:
                segment = np.zeros((1, height, width, samples), page.dtype)
            yield (rows, columns, every), segment[0, :height, :width]


def _mapped_blocks(path: Path, page: Any, order: str) -> Iterator[Block]:
    height, width, channels = page.imagelength, page.imagewidth, page.samplesperpixel
    planes = [slice(n, n + 1) for n in range(channels)] if page.planarconfig == 2 else [slice(0, channels)]
    for number, plane in enumerate(planes):
        inside = plane.stop - plane.start
        offset = page.dataoffsets[0] + number * height * width * page.dtype.itemsize
        for top in range(0, height, ROWS):
            shape = (min(ROWS, height - top), width, inside)
            at = offset + top * width * inside * page.dtype.itemsize
            block = np.array(np.memmap(path, page.dtype.newbyteorder(order), "r", at, shape))
            yield (slice(top, top + shape[0]), slice(0, width), plane), block


def _vips(path: Path, needed: bool) -> Stream | None:
    """By libvips, of the extra `big`. Where it cannot: None, or BadInput if no other reader takes so many pixels."""
    try:
        image = _opened_by_vips(path)
    except BadInput:
        if needed:
            raise
        return None
    names = {"icc-profile-data": "icc_profile", "exif-data": "exif", "xmp-data": "xmp"}
    info: dict[str, Any] = {names[name]: image.get(name) for name in names if image.get_typeof(name)}
    info["dpi"] = (image.xres * 25.4, image.yres * 25.4)
    about = _tiff_about(path) if _magic(path) == ".tif" else metadata_of(info)
    alpha = bool(image.hasalpha())
    turn = int(image.get("orientation")) if image.get_typeof("orientation") else 1
    about = about.upright(turned=turn in range(2, 9)).with_channels(image.bands - alpha)
    size, dtype = (image.height, image.width), np.dtype(VIPS_KINDS[image.format])
    return Stream(size, image.bands, dtype, alpha, turn, about, partial(_vips_blocks, path))


def _opened_by_vips(path: Path) -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as error:
        advice = "pip install 'unpaired[big]', or save it as TIFF in strips or tiles"
        raise BadInput(f"more than {MAX_PIXELS} pixels in this format are read by libvips: {advice}") from error
    if _magic(path) == ".tif" and _has_plain_ycbcr(path):
        raise BadInput(f"more than {MAX_PIXELS} pixels in YCbCr that is not JPEG are not read; save it as RGB")
    pyvips.block_untrusted_set(True)
    try:
        image: Any = pyvips.Image.new_from_file(str(path), access="sequential")
    except pyvips.Error as error:
        raise BadInput(f"libvips cannot read it ({' '.join(str(error).split())})") from error
    if image.format not in VIPS_KINDS or image.bands > 4 or image.interpretation in ("cmyk", "lab"):
        raise BadInput(f"{image.bands} channels of {image.format} in {image.interpretation}; save it as RGB or gray")
    return image


def _has_plain_ycbcr(path: Path) -> bool:
    """Whether a TIFF has YCbCr that libvips would take for RGB."""
    with open_tiff(path) as tiff:
        page = tiff.pages.first.aspage()
        return page.photometric == YCBCR and page.compression not in (6, 7)


def _tiff_about(path: Path) -> Metadata:
    """The metadata of a TIFF, of which libvips passes on a part only."""
    with open_tiff(path) as tiff, path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return tiff_metadata(tiff, data, tiff.pages.first.aspage())


def _vips_blocks(path: Path) -> Iterator[Block]:
    import pyvips

    image: Any = pyvips.Image.new_from_file(str(path), access="sequential")
    region = pyvips.Region.new(image)
    dtype, every = np.dtype(VIPS_KINDS[image.format]), slice(0, image.bands)
    for top in range(0, image.height, ROWS):
        rows = min(ROWS, image.height - top)
        try:
            band = region.fetch(0, top, image.width, rows)
        except pyvips.Error as error:
            raise BadInput(f"damaged ({' '.join(str(error).split())}); replace or remove it") from error
        block = np.frombuffer(band, dtype).reshape(rows, image.width, image.bands)
        yield (slice(top, top + rows), slice(0, image.width), every), block
