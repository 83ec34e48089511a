"""One image of a data set as `unpaired check` reads it: the few numbers that are compared with those of the others."""

from __future__ import annotations

import hashlib
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.core.errors import BadInput, counted, shown
from unpaired.data.ranges import Values, values_of
from unpaired.data.sources import ImageFile
from unpaired.imaging.images import Pixels, read_image
from unpaired.imaging.pixels import DecodedImage, marked

Seen = Callable[[str, ImageFile, Pixels], None]
"""Gets the folder's name, e.g. trainA, an image's path and its pixels as they were decoded."""
LARGE = 2**24
"""Pixels above which images are decoded one at a time."""
_LARGE_ALONE = threading.Lock()


@dataclass(frozen=True)
class Look:
    """Shape, type, digest and value statistics of one image."""

    path: ImageFile
    shape: tuple[int, int, int]
    alpha: bool
    """Whether there is also a channel tagged as alpha."""
    dtype: str
    digest: bytes
    pages: int
    """Pages or frames of the file."""
    deviation: float
    """The largest standard deviation of a channel, in the file's values."""
    values: Values

    @property
    def kind(self) -> str:
        """Channels and bit depth in words."""
        depth = {"uint8": "8-bit", "uint16": "16-bit", "int16": "signed 16-bit", "float32": "float"}[self.dtype]
        return f"{counted(self.shape[2], 'channel')}, {depth}"


Verdict = Look | tuple[str, str]
"""An image, or (reason, message) where it is refused."""


def read_look(path: ImageFile, name: str, smallest: int, seen: Seen, nodata: float | None) -> Verdict:
    """An image's numbers, or (reason, message) where it is refused."""
    if fault := _file_fault(path):
        return fault
    try:
        decoded = _read(path)
        found = decoded if nodata is None or decoded.nodata else marked(decoded, nodata)
    except BadInput as error:
        return "unreadable", str(error).removeprefix(shown(f"{path}: "))
    if found.is_empty:
        return "unreadable", "no pixel has data; remove it"
    pixels = found.pixels
    height, width, channels = pixels.shape
    if min(height, width) < smallest:
        return "tiny", f"{width}x{height}; each side must have {smallest} pixels at least"
    seen(name, path, pixels)
    shape = (height, width, channels)
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
    alpha, dtype = decoded.alpha is not None, pixels.dtype.name
    return Look(path, shape, alpha, dtype, digest, decoded.pages, spread(pixels), values_of(pixels))


def spread(pixels: Pixels) -> float:
    """The largest standard deviation of a channel, in the file's values.

    InstanceNorm divides by sqrt(variance + 1e-5) of its input, which is in [-1, 1] for the first layer. A deviation of
    one 8-bit level (1/255 of black to white, variance 6e-5) gives a gain of over a hundred: rounding and JPEG noise
    become full contrast. A photograph of fog has a deviation of 3 to 5 levels. Bands of rows bound the memory.
    """
    height, width, channels = pixels.shape
    rows = max(1, 2**20 // (width * channels))
    first = pixels[0, 0].astype(np.float64)  # sums of differences from it do not cancel
    total, squares = np.zeros(channels), np.zeros(channels)
    for top in range(0, height, rows):
        band = pixels[top : top + rows] - first
        total += band.sum(axis=(0, 1))
        squares += np.square(band).sum(axis=(0, 1))
    variance = squares / (height * width) - np.square(total / (height * width))
    return float(np.sqrt(max(variance.max(), 0)))


def _read(path: ImageFile) -> DecodedImage:
    """Decode an image; large ones one at a time, since a few small files can unpack to a lot of memory."""
    try:
        return read_image(path, LARGE)
    except BadInput:
        with _LARGE_ALONE:
            return read_image(path)


def _file_fault(path: ImageFile) -> tuple[str, str] | None:
    """The fault of a file that needs no decoding, as (reason, message)."""
    if not isinstance(path, Path):
        return None
    try:
        about = path.stat()
    except OSError as error:
        if path.is_symlink():
            return "link", f"a link to {shown(path.readlink())}, which cannot be reached ({error.strerror})"
        return "unreadable", f"cannot be read ({error.strerror}); replace or remove it"
    if not stat.S_ISREG(about.st_mode):
        what = "a folder" if stat.S_ISDIR(about.st_mode) else "no regular file"
        return "not-a-file", f"{what} with the name of an image; rename or remove it"
    return None if about.st_size else ("empty", "empty (0 bytes); replace or remove it")
