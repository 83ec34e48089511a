"""Decoded images, the limits of what is decoded, and the errors of those that are not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unpaired.core.errors import BadInput, shown
from unpaired.imaging.metadata import NOTHING, Metadata

Pixels = NDArray[Any]
"""(h, w, c) of uint8, uint16, int16 or float32, nothing else."""
MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded (Pillow's own bound for a decompression bomb)."""
MAX_PAGES = 65_536
"""Pages that are counted."""
BYTES_PER_PIXEL = 8
"""Four channels of 16 bits: a file, and its decoded pixels, may take this many bytes per pixel allowed."""
DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow, tifffile and imagecodecs raise on damaged files; found by feeding them such files."""


@dataclass(frozen=True)
class NoData:
    """Pixels without data: outside a scene, or not measured."""

    where: NDArray[np.bool_]
    """(h, w)"""
    value: float
    """Their value in the file; may be NaN."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file."""

    pixels: Pixels
    """Colours, (h, w, c) of uint8, uint16, int16 or float32; without data, the median of the others."""
    alpha: Pixels | None = None
    """Opacity, (h, w, 1) of the same type, where the file has it."""
    about: Metadata = NOTHING
    """Metadata: colour profile, EXIF, georeference."""
    nodata: NoData | None = None
    """Which pixels have no data, where there are such."""
    labels: NDArray[np.uint8] | None = None
    """(h, w, 1) numbers of the palette's colours, in files with a palette."""
    pages: int = 1
    """Pages of a stack or frames of an animation, of which `pixels` is the first."""

    @property
    def is_empty(self) -> bool:
        """Whether no pixel has data."""
        return self.nodata is not None and bool(self.nodata.where.all())

    @property
    def layers(self) -> Pixels:
        """The colours, with opacity as the last channel where the file has it."""
        return self.pixels if self.alpha is None else np.concatenate([self.pixels, self.alpha], axis=2)


@dataclass(frozen=True)
class Layout:
    """How the images of a file belong together."""

    count: int
    kind: Literal["plain", "shaped", "imagej", "ome", "animation"] = "plain"
    """Pages without described axes, or with axes by tifffile, ImageJ or OME; or frames."""
    axes: str = ""
    """Of the images, slowest first, by tifffile's letters: "TZ"; empty where none are described."""
    sizes: tuple[int, ...] = ()
    """Images along each axis."""
    by_page: bool = False
    """Whether channels are pages."""
    words: Mapping[str, Any] = field(default_factory=dict)
    """Scale in space and time, as ImageJ or OME has it."""
    loop: int = 0
    """Times that an animation is shown; 0 for ever."""


@dataclass(frozen=True)
class Pages:
    """The images of an open file."""

    layout: Layout
    height: int
    """Of the first image, before it is turned upright."""
    width: int
    read: Callable[[int], DecodedImage]
    """The image of a number from 0; raises `BadInput`, or one of `DAMAGE`."""
    left_out: int = 0
    """Pages of other sizes, such as previews."""

    def __iter__(self) -> Iterator[DecodedImage]:
        return map(self.read, range(self.layout.count))


def marked(decoded: DecodedImage, value: float) -> DecodedImage:
    """The image with all pixels of `value`, or NaN, marked as having no data and filled with the median of the others.

    That fill moves the statistics of normalisation layers least. Where no pixel has data it is 0.
    """
    pixels = decoded.pixels
    where = without_data(pixels, value)
    if not where.any():
        return decoded
    fill = pixels.dtype.type(0) if where.all() else np.median(pixels[~where], axis=0).astype(pixels.dtype)
    return replace(decoded, pixels=np.where(where[..., None], fill, pixels), nodata=NoData(where, value))


def without_data(pixels: Pixels, value: float) -> NDArray[np.bool_]:
    """(h, w): pixels of NaN, or of `value` in all channels."""
    where: Any = np.isnan(pixels).any(axis=2) if pixels.dtype.kind == "f" else np.zeros(pixels.shape[:2], bool)
    if abs(value) <= float(np.finfo(np.float32).max):  # not NaN, and not what float32 has no number for
        where = where | (pixels == float(value)).all(axis=2)
    return where


def full_scale(dtype: np.dtype) -> float:
    """The value that stands for white: 255, 65535 or 1.0."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image without pixels, or with more than `max_pixels`."""
    if width < 1 or height < 1:
        raise BadInput(f"{width}x{height} holds no pixels; replace or remove it")
    if width * height > max_pixels:
        raise BadInput(f"{width}x{height} is over the limit of {max_pixels} pixels")


TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the camera's turn: EXIF orientations 5 to 8 swap the axes first, then rows or columns are reversed."""
    turned = pixels.transpose(1, 0, 2) if orientation in TURNED else pixels
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    return np.ascontiguousarray(turned[::-1] if orientation in (3, 4, 7, 8) else turned)


def finished(pixels: Pixels, has_alpha: bool, orientation: int, about: Metadata) -> DecodedImage:
    """Upright, alpha apart, and what is said of them true."""
    pixels = upright(pixels, orientation)
    about = about.upright(turned=orientation in range(2, 9)).with_channels(pixels.shape[2] - has_alpha)
    return DecodedImage(pixels[..., :-1], pixels[..., -1:], about) if has_alpha else DecodedImage(pixels, None, about)


@contextmanager
def one_line_errors(name: object) -> Iterator[None]:
    """Raise `BadInput` of one line that names the file in place of OSError and DAMAGE."""
    try:
        yield
    except BadInput as error:
        raise BadInput(shown(f"{name}: {error}")) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(shown(f"{name}: cannot be read ({reason}); replace or remove it")) from error
    except DAMAGE as error:
        raise BadInput(shown(f"{name}: damaged ({type(error).__name__}: {error}); replace or remove it")) from error
