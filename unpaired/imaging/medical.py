"""Medical images: DICOM slices and multi-frame files, NIfTI volumes; the extra `medical` reads and writes them.

Pixels are values in the file's units, such as Hounsfield units: slope * stored number + intercept. Their type:

- without slope and intercept the stored type, if it is 8 bits without sign or 16 bits;
- signed 16 bits where slope and intercept are whole and all values fit;
- float32 otherwise.

The reader keeps the header as `Metadata.origin`, and writing puts it around other pixels of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput
from unpaired.imaging.pixels import BYTES_PER_PIXEL, DAMAGE, MAX_PAGES, DecodedImage, Layout, Pages, Pixels, check_size

if TYPE_CHECKING:
    from unpaired.imaging.dicom_header import DicomOrigin
    from unpaired.imaging.nifti import NiftiOrigin

    Origin = DicomOrigin | NiftiOrigin
    """The header of a medical image, which a file with other pixels takes along."""


STEPS = 4095
"""Between the least and the largest value of a slice, as 12 bits have."""
EXACT = 1e-3
"""Of a step: as far as a stored number, computed in float32, may be off."""


@dataclass(frozen=True)
class Numbers:
    """The whole numbers that a file can store, and what they mean: value = slope * number + intercept."""

    low: int
    high: int
    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False
    """Whether the largest number is black, as in MONOCHROME1; values count from black to white."""

    def __post_init__(self) -> None:
        if self.slope == 0 or not np.isfinite([self.slope, self.intercept]).all():
            raise BadInput(f"damaged (slope {self.slope:g} and intercept {self.intercept:g}); replace or remove it")

    def values(self, numbers: NDArray) -> Pixels:
        """Values of stored numbers, typed as in this module's docstring; raises `BadInput` if infinite in float32."""
        values = self.low + self.high - numbers.astype(np.int64) if self.inverted else numbers
        stored = numbers.dtype.newbyteorder("=")
        if (self.slope, self.intercept) == (1, 0) and stored in (np.uint8, np.uint16, np.int16, np.float32):
            values = values.astype(stored)
        else:
            values = values.astype(np.float64) * self.slope + self.intercept
            whole = numbers.dtype.kind != "f" and float(self.slope).is_integer() and float(self.intercept).is_integer()
            fits = whole and -(2**15) <= values.min() and values.max() < 2**15
            with np.errstate(over="ignore"):
                values = values.astype(np.int16 if fits else np.float32)
        if values.dtype.kind == "f" and np.isinf(values).any():
            raise BadInput("holds infinite values, or values too large for 32 bits; fix them, or remove the file")
        return values

    def numbers(self, values: Pixels, dtype: np.dtype) -> NDArray | None:
        """The nearest numbers to values; None where some are beyond the least or the largest, or would be coarse.

        Coarse are fewer than `STEPS` from the least to the largest of values that are not whole, unless all are stored
        numbers.
        """
        found = (values.astype(np.float64) - self.intercept) / self.slope
        if dtype.kind != "f":
            coarse = values.dtype.kind == "f" and np.ptp(found) < STEPS
            if coarse and np.abs(found - np.rint(found)).max() > EXACT:
                return None
            found = self.low + self.high - np.rint(found) if self.inverted else np.rint(found)
            if not (self.low <= found.min() and found.max() <= self.high):
                return None
        return found.astype(dtype)


def open_medical(file: BinaryIO, suffix: str, max_pixels: int) -> Pages:
    """The slices of a file of the kind that `suffix` names.

    Raises `BadInput` without the extra `medical`, for a kind that is not read, or too large; or one of `pixels.DAMAGE`.
    """
    try:
        if suffix == ".dcm":
            from unpaired.imaging.dicom import DicomSlices

            slices = DicomSlices(file, max_pixels)
        else:
            from unpaired.imaging.nifti import NiftiSlices

            slices = NiftiSlices(file, suffix == ".nii.gz", max_pixels)
    except ImportError as error:
        kind, package = ("DICOM", "pydicom") if suffix == ".dcm" else ("NIfTI", "nibabel")
        raise BadInput(f"{kind} needs {package}; pip install 'unpaired[medical]'") from error
    count, height, width = slices.origin.shape
    return Pages(Layout(count), height, width, slices.read)


def check_shape(shape: tuple[int, int, int], number_bytes: int, max_pixels: int) -> None:
    """Raise `BadInput` for no pixels, over `max_pixels` in a slice, too many slices or too many bytes."""
    count, height, width = shape
    if min(shape) < 1:
        raise BadInput(f"{width}x{height}x{count} holds no pixels; replace or remove it")
    check_size(width, height, max_pixels)
    size, limit = count * height * width * number_bytes, max_pixels * BYTES_PER_PIXEL
    if count > MAX_PAGES or size > limit:
        raise BadInput(f"{count} slices that unpack to {size} bytes, over the limits of {MAX_PAGES} and {limit}")


def encode_medical(pages: Sequence[DecodedImage], suffix: str) -> bytes:
    """A DICOM or NIfTI file with the header of the file that the pages come from.

    Raises `BadInput` if they come from another kind of file, have another size, or channels that it cannot hold.
    """
    origin, derived = pages[0].about.origin, pages[0].about.derived
    if origin is None or suffix not in origin.suffixes:
        raise BadInput(f"{suffix} takes its geometry from a {suffix} file, which the input is not; choose .tif")
    found = (len(pages), *pages[0].pixels.shape[:2])
    if found != origin.shape:
        kept, other = ("x".join(map(str, shape[::-1])) for shape in (origin.shape, found))
        raise BadInput(f"{suffix} keeps the geometry of {kept} pixels, found {other}; leave out --scale, or .tif")
    try:
        return origin.encode([page.pixels for page in pages], derived, suffix)
    except BadInput:
        raise
    except DAMAGE as error:
        raise BadInput(f"its {origin.name} cannot be written again ({error}); choose .tif") from error
