"""What the numbers of a file mean: black and white point, channels, masks, and pixels without data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Readable, read_image, with_channels
from unpaired.imaging.pixels import DecodedImage, NoData, Pixels, full_scale, marked

FULL = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "int16": (-32768.0, 32767.0), "float32": (0.0, 1.0)}
"""Black and white of each type unless a data set sets others."""


@dataclass(frozen=True)
class ValueRange:
    """The values of a domain's files that stand for black and white, and their type."""

    black: float
    white: float
    dtype: str = "float32"
    typed: bool = field(default=True, compare=False, repr=False)
    """Whether a type belongs to it; BLACK,WHITE that a user gives alone hold for files of every type."""

    @classmethod
    def parse(cls, text: str, setting: str) -> ValueRange | None:
        """`BLACK,WHITE` or `BLACK,WHITE,TYPE`, None for an empty text; raises ValueError for anything else."""
        if not text:
            return None
        black, _, rest = text.partition(",")
        white, _, dtype = rest.partition(",")
        try:
            found = cls(float(black), float(white), dtype or "float32", bool(dtype))
        except ValueError:
            raise ValueError(f"{setting}: expected BLACK,WHITE such as -1000,2000, got {text}") from None
        if not -np.inf < found.black < found.white < np.inf or found.dtype not in FULL:
            raise ValueError(f"{setting}: expected finite BLACK,WHITE with white above black, got {text}")
        return found

    def __str__(self) -> str:
        return f"{self.black:.9g},{self.white:.9g},{self.dtype}"

    def to_unit(self, pixels: Pixels) -> Pixels:
        """Float pixels from 0 (black) to 1 (white); values outside are clipped."""
        scaled = (pixels.astype(np.float32) - np.float32(self.black)) / np.float32(self.white - self.black)
        return scaled.clip(0, 1)

    def from_unit(self, pixels: Pixels) -> Pixels:
        """The inverse of `to_unit`, in the files' type."""
        values = pixels.astype(np.float64) * (self.white - self.black) + self.black
        if self.dtype == "float32":
            return values.astype(np.float32)
        top = np.iinfo(self.dtype)
        return np.rint(values).clip(top.min, top.max).astype(self.dtype)

    def holds_for(self, dtype: np.dtype) -> bool:
        """Whether it is of files of this type: of any where it was given without one.

        Files of 8 bits have their full scale unless it is one of 8 bits; a full scale is that of its own type alone.
        """
        if not self.typed:
            return True
        if (self.black, self.white) == FULL[self.dtype]:
            return dtype == self.dtype
        return dtype != np.uint8 or self.dtype == "uint8"

    def outside(self, pixels: Pixels) -> float:
        """The share of values below black or above white."""
        slack = 1e-6 * (self.white - self.black)
        return float(((pixels < self.black - slack) | (pixels > self.white + slack)).mean())


def natural_range(dtype: np.dtype) -> ValueRange:
    """The full scale of a type; floats of any width count from 0 to 1."""
    name = "float32" if dtype.kind == "f" else dtype.name
    return ValueRange(*FULL[name], name)


def range_for(values: ValueRange | None, dtype: np.dtype) -> ValueRange:
    """A domain's black and white for files of a type: its own where it holds for them, else their full scale."""
    return values if values is not None and values.holds_for(dtype) else natural_range(dtype)


@dataclass(frozen=True)
class Domain:
    """How files of one domain become what a network sees."""

    channels: int
    values: ValueRange | None = None
    """Black and white; the full scale of the files' type unless given."""
    nodata: float | None = None
    """The value of pixels without data in files that do not name it themselves."""
    fit: Callable[[Pixels], Pixels] | None = field(default=None, repr=False)
    """Resizes pixels for the network; None keeps their size."""

    def read(self, source: Path | bytes | Readable) -> Pixels:
        """The pixels of a file for the network; raises `BadInput` for none with data, and as `Domain.pixels`."""
        decoded = read_image(source)
        try:
            decoded = self.marked(decoded)
            if decoded.is_empty:
                raise BadInput("no pixel has data; remove it")
            return self.pixels(decoded)
        except BadInput as error:
            raise BadInput(f"{'image' if isinstance(source, bytes) else source}: {error}") from error

    def pixels(self, decoded: DecodedImage) -> Pixels:
        """(h, w, channels) of uint8, uint16, or float from 0 to 1.

        Raises `BadInput` for channels that do not fit, or signed values without a known black and white.
        """
        pixels = self._in_range(with_bands(self.marked(decoded), self.channels))
        return pixels if self.fit is None else self.fit(pixels)

    def _in_range(self, pixels: Pixels) -> Pixels:
        if self.values is not None and self.values.holds_for(pixels.dtype):
            return self.values.to_unit(pixels)
        if pixels.dtype == np.int16:
            advice = "set data.range-a / data.range-b BLACK,WHITE, or train on such files with data.range auto"
            raise BadInput(f"signed 16-bit values have no known black and white; {advice}")
        return pixels.clip(0, 1) if pixels.dtype.kind == "f" else pixels

    def marked(self, decoded: DecodedImage) -> DecodedImage:
        """With the pixels of value `nodata` filled, where the file names no such value itself."""
        return decoded if self.nodata is None or decoded.nodata else marked(decoded, self.nodata)

    def clipped(self, decoded: DecodedImage) -> str:
        """In words, how much of an image lies outside black and white; empty where nothing does."""
        values = self.range_of(decoded.pixels.dtype)
        return clipped_words(values, values.outside(decoded.pixels))

    def range_of(self, dtype: np.dtype) -> ValueRange:
        """Black and white of files of a type."""
        return range_for(self.values, dtype)


def clipped_words(values: ValueRange, share: float) -> str:
    """In words, that a share of an image's values is clipped; empty where none is."""
    if not share:
        return ""
    much = next((f"under {limit:.1%}" for limit in (0.001, 0.01, 0.1) if share < limit), f"{share:.0%}")
    return f"values outside {values.black:g} to {values.white:g} ({much} of the image, clipped)"


def with_bands(decoded: DecodedImage, channels: int) -> Pixels:
    """As `with_channels`; what a file calls alpha is a band where that makes the count right."""
    is_band = decoded.alpha is not None and channels > 3 and decoded.pixels.shape[2] + 1 == channels
    return decoded.layers if is_band else with_channels(decoded.pixels, channels)


def read_mask(source: Path | bytes | Readable) -> Pixels:
    """An image as a mask, (h, w, 1) of its type: full scale is inside, 0 outside, and in proportion between.

    Two kinds of file hold labels rather than gray levels: palette images, and gray ones of whole numbers with no value
    in the upper half of full scale. There every label but 0 is inside.

    Raises `BadInput` if it cannot be read, or has other channels than gray or RGB.
    """
    return mask_of(read_image(source), "mask" if isinstance(source, bytes) else source)


def mask_of(decoded: DecodedImage, name: object) -> Pixels:
    """`read_mask` of a decoded image, or of a page of one."""
    if decoded.labels is not None:
        return np.where(decoded.labels > 0, np.uint8(255), np.uint8(0))
    try:
        mask = with_channels(decoded.pixels, 1)
    except BadInput as error:
        raise BadInput(f"{name}: a mask is gray or RGB; {error}") from error
    top = full_scale(mask.dtype)
    is_labels = mask.dtype.kind in "ui" and mask.max(initial=0) < top / 2
    return (mask > 0).astype(mask.dtype) * mask.dtype.type(top) if is_labels else mask


def restored(pixels: Pixels, nodata: NoData | None) -> tuple[Pixels, str]:
    """Pixels with the value for no data where the source had none, and in words what the type cannot hold.

    NaN or the type's least value stands for one that it cannot hold: what a network makes of no data is no data, too.
    """
    if nodata is None:
        return pixels, ""
    kind = pixels.dtype
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    holds = float(limits.min) <= nodata.value <= float(limits.max) or (kind.kind == "f" and np.isnan(nodata.value))
    value = nodata.value if holds else np.nan if kind.kind == "f" else int(limits.min)
    words = "" if holds else f"no-data value {nodata.value:g} (not a value of {kind}; {value} in its place)"
    return np.where(nodata.where[..., None], np.asarray(value, kind), pixels), words


def stored_values(decoded: DecodedImage) -> Pixels:
    """The colours with their value for no data, or NaN where that is a number of 64 bits."""
    return restored(decoded.pixels, decoded.nodata)[0]


def converted(alpha: Pixels, dtype: np.dtype) -> Pixels:
    """Opacity in another type."""
    if alpha.dtype == dtype:
        return alpha
    part = alpha.astype(np.float64) / full_scale(alpha.dtype)
    return (part if dtype.kind == "f" else np.rint(part * full_scale(dtype))).astype(dtype)
