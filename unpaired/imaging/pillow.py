"""Images that Pillow decodes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import BinaryIO

import numpy as np
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.exif import ORIENTATION
from unpaired.imaging.metadata import Metadata, metadata_of
from unpaired.imaging.pixels import DAMAGE, DecodedImage, Pixels, check_size, finished, upright

NOISY = re.compile(r"(PIL|pydicom|nibabel)\.")
PLUGINS = {
    **{".png": "Png", ".jpg": "Jpeg", ".webp": "WebP", ".bmp": "Bmp"},
    **{".gif": "Gif", ".avif": "Avif", ".tif": "Tiff"},
}
"""Names of Pillow's readers by suffix."""


def quieten() -> None:
    """Ignore the warnings of decoders: of odd EXIF blocks and elements, harmless here, and of sizes, checked here.

    A standing filter, since `catch_warnings` is not safe in threads; put back where others reset the filters.
    """
    if not warnings.filters or warnings.filters[0][3] != NOISY:
        warnings.filterwarnings("ignore", module=NOISY.pattern)


def pillow_reader(suffix: str) -> Callable[[BinaryIO], Image.Image]:
    """Pillow's reader of a format, without `Image.open`'s pixel limit; raises `BadInput` if it is not installed."""
    if suffix != ".heic":
        name = PLUGINS[suffix]
        return getattr(import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise BadInput("HEIC needs pillow-heif; pip install 'unpaired[heic]', or save it as JPEG or PNG") from error
    return HeifImageFile


def pillow_image(image: Image.Image, max_pixels: int, about: Metadata | None = None) -> DecodedImage:
    """The current frame of an open file; raises `BadInput` if it is too large or not read, or one of DAMAGE."""
    check_size(image.width, image.height, max_pixels)
    image.load()
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"):
        raise BadInput(f"pixels of kind {image.mode} have no known range; convert to RGB or grayscale")
    colors = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    has_alpha = image.mode[-1] in "Aa" or "transparency" in image.info
    pixels = np.atleast_3d(np.asarray(image.convert(colors + "A" * has_alpha)))
    about, turn = about or metadata_of(image.info), orientation_of(image)
    labels = upright(np.atleast_3d(np.asarray(image)), turn) if image.mode == "P" else None
    return replace(finished(pixels, has_alpha, turn, about), labels=labels)


def to_pillow(pixels: Pixels) -> Image.Image:
    """A Pillow image of (h, w, 1 to 4) 8-bit pixels: gray or RGB, with or without alpha."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    return Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation; 1 (upright) also where a sound image carries a damaged EXIF block."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except DAMAGE:
        return 1
