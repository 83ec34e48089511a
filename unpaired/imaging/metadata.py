"""What an image file says about its image, beside the pixels: carried from one format to another where it can be."""

from __future__ import annotations

import contextlib
import math
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unpaired.imaging.exif import ORIENTATION, Bytes, Directory, Entry, read_directory, read_exif, write_exif
from unpaired.imaging.kinds import ALIASES

if TYPE_CHECKING:
    from unpaired.imaging.medical import Origin

NODATA = 42113
"""GDAL's tag for the value of pixels without data."""
GEO = (33550, 33922, 34264, 34735, 34736, 34737, NODATA)
"""TIFF tags of the georeference: pixel scale, tie points, matrix, keys with their numbers and texts, GDAL's nodata."""
ABOUT = (269, 270, 271, 272, 285, 305, 306, 315, 33432)
"""TIFF tags that describe the image in words: document, description, make, model, page, software, date, artist,
copyright."""
GEO_TYPES = {34735: (3,), 34737: (2,), NODATA: (2,)}
"""Types of their values; floating point (11 and 12) of the others."""
EXIF, GPS, XMP, ICC = 34665, 34853, 700, 34675
COLOURS = {b"RGB ": 3, b"GRAY": 1}
"""Channels of the pixels that a colour profile speaks of, by the word in its header."""
NO_METADATA = frozenset({".bmp", ".gif", ".ppm"})
NO_RESOLUTION = frozenset({".webp", ".gif", ".ppm", ".avif", ".heic"})
"""Formats that hold no profile, EXIF and XMP, or no resolution."""
MOST_IN_JPEG = {"icc_profile": 254 * 65_533, "exif": 65_533, "xmp": 65_533}
"""Bytes of each in a JPEG, whose blocks have 65,533; a colour profile may fill 254 of them."""
FINEST, FINEST_IN_JPEG = 50_000_000, 65_535
"""Pixels for each inch that a PNG or BMP and a JPEG can hold."""
XMP_IN_PNG = b"XML:com.adobe.xmp\0\0\0\0\0"
"""Keyword of the text chunk that holds XMP, not compressed, in no language."""
OWN_WORDS = re.compile(rb'^\{"shape"|^ImageJ=|<OME')
"""Descriptions by which programs tell themselves how the pixels are laid out; they would be wrong for others."""


@dataclass(frozen=True)
class Metadata:
    """Beside the pixels. The pixels are upright, and it says so."""

    icc: bytes = b""
    """Colour profile."""
    exif: Directory | None = None
    """Camera, time, place."""
    xmp: bytes = b""
    """The same and more in XML."""
    resolution: tuple[float, float, int] | None = None
    """Pixels across and down for each inch (2), centimetre (3) or unknown unit (1)."""
    geo: tuple[tuple[int, int, int, Any], ...] = ()
    """Tag, type, count and value of each GeoTIFF tag."""
    lost: tuple[str, ...] = ()
    """What was there but cannot be kept, in words."""
    duration: float = 0.0
    """Milliseconds for which a frame of an animation is shown."""
    origin: Origin | None = None
    """The header of a medical image."""
    derived: str = ""
    """In words, what made the pixels from those of another file."""

    @property
    def nodata(self) -> float:
        """The value of pixels without data by GDAL's tag; NaN where there is none."""
        text = next((value for code, _, _, value in self.geo if code == NODATA), "")
        try:
            return float(text.strip().strip("\0") if isinstance(text, str) else "nan")
        except ValueError:
            return math.nan

    def with_nodata(self, value: float) -> Metadata:
        """With another value of pixels without data in GDAL's tag, where there is one."""
        text = f"{value:g}"
        tags = ((tag[0], tag[1], len(text) + 1, text) if tag[0] == NODATA else tag for tag in self.geo)
        return replace(self, geo=tuple(tags))

    def upright(self, turned: bool) -> Metadata:
        """For pixels that were brought upright; a georeference speaks of the file's own rows and columns."""
        exif = self.exif
        if exif and ORIENTATION in exif:
            exif = {**exif, ORIENTATION: Entry(3, b"\1\0")}
        xmp = re.sub(rb'(tiff:Orientation(?:="|>))[2-8]', rb"\g<1>1", self.xmp)
        lost = (*self.lost, "georeference (the image was turned)") if turned and self.geo else self.lost
        return replace(self, exif=exif, xmp=xmp, geo=() if turned else self.geo, lost=lost)

    def resized(self, across: float, down: float) -> Metadata:
        """For so many times the pixels; a georeference counts the file's own."""
        geo = tuple(tag for tag in self.geo if tag[0] == NODATA)
        lost = (*self.lost, "georeference (the image was resized)") if geo != self.geo else self.lost
        x, y, unit = self.resolution or (0.0, 0.0, 0)
        resolution = (x * across, y * down, unit) if self.resolution else None
        return replace(self, geo=geo, resolution=resolution, lost=lost)

    def with_channels(self, channels: int) -> Metadata:
        """For pixels of so many channels: a colour profile of others would be wrong."""
        if not self.icc or COLOURS.get(self.icc[16:20]) == channels:
            return self
        return replace(self, icc=b"", lost=(*self.lost, "colour profile (of other channels)"))

    def dropped(self, suffix: str) -> tuple[str, ...]:
        """In words, what a file of this kind does not take along."""
        if self.origin:
            return self.lost if suffix in self.origin.suffixes else (*self.lost, self.origin.name)
        suffix = ALIASES.get(suffix, suffix)
        if suffix == ".tif":
            return self.lost
        resolution = self.resolution if suffix in NO_RESOLUTION else self.dpi
        kept, parts = self.for_pillow(suffix), {"icc_profile": self.icc, "exif": self.exif, "xmp": self.xmp}
        parts |= {"georeference": self.geo, "dpi": resolution}
        words = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP", "dpi": "resolution"}
        return (*self.lost, *(words.get(name, name) for name, part in parts.items() if part and name not in kept))

    def for_pillow(self, suffix: str) -> dict[str, Any]:
        """Arguments of `Image.save`: what a file of this kind holds."""
        parts: dict[str, Any] = {"dpi": self.dpi} if self.dpi and suffix not in NO_RESOLUTION else {}
        if suffix not in NO_METADATA:
            exif = b"Exif\0\0" + write_exif(self.exif) if self.exif else b""
            parts |= {"icc_profile": self.icc, "exif": exif, "xmp": self.xmp}
        if suffix == ".jpg":
            parts = {name: part for name, part in parts.items() if name == "dpi" or len(part) <= MOST_IN_JPEG[name]}
            if max(parts.get("dpi", (0,))) > FINEST_IN_JPEG:
                del parts["dpi"]
        return {name: part for name, part in parts.items() if part}

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels for each inch, where the unit is known."""
        if not self.resolution or self.resolution[2] not in (2, 3):
            return None
        scale = 2.54 if self.resolution[2] == 3 else 1.0
        return self.resolution[0] * scale, self.resolution[1] * scale

    def into_png(self, png: bytes) -> bytes:
        """The chunks of a PNG with these beside them, in front of the pixels."""
        body = b""
        if self.icc:
            body += png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(self.icc))
        if self.dpi:
            body += png_chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in self.dpi), 1))
        if self.exif:
            body += png_chunk(b"eXIf", write_exif(self.exif))
        if self.xmp:
            body += png_chunk(b"iTXt", XMP_IN_PNG + self.xmp)
        return png[:33] + body + png[33:]  # behind the signature and IHDR, which always have 33 bytes

    def for_tiff(self) -> dict[str, Any]:
        """Arguments of tifffile's writer. The directories within EXIF follow by `tiff.finish_tiff`."""
        tags: list[tuple] = [
            (code, kind, 0, value.encode(), True) if isinstance(value, str) else (code, kind, count, value, True)
            for code, kind, count, value in self.geo
        ]
        words: Directory = self.exif or {}
        for code, item in words.items():
            if code in ABOUT and isinstance(item, Entry) and item.type == 2:
                tags.append((code, 2, 0, item.data.rstrip(b"\0"), True))
        tags += [(code - 1, 4, 1, 0, True) for code in (EXIF, GPS) if code in words]  # tifffile leaves these two out
        if self.xmp:
            tags.append((XMP, 1, len(self.xmp), self.xmp, True))
        options: dict[str, Any] = {"extratags": tags, "metadata": None, "software": False}
        options["iccprofile"] = self.icc or None
        if self.resolution:
            options |= {"resolution": self.resolution[:2], "resolutionunit": self.resolution[2]}
        return options


NOTHING = Metadata()


def metadata_of(info: Mapping[Any, Any]) -> Metadata:
    """From what Pillow found in a JPEG, PNG, WebP or BMP (`Image.info`); damage loses the block it is in."""
    lost, exif = [], None
    if info.get("exif"):
        try:
            exif = read_exif(info["exif"])
        except ValueError:
            lost.append("EXIF (damaged)")
    dpi, xmp = info.get("dpi"), info.get("xmp") or b""
    resolution = _plausible((float(dpi[0]), float(dpi[1]), 2)) if dpi else None
    xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    return Metadata(info.get("icc_profile") or b"", exif, xmp, resolution, lost=tuple(lost))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG: length, kind, content, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_chunks(png: Bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind of each chunk of a PNG, and the chunk: length, kind, content, checksum."""
    at = 8
    while at + 8 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at:end]
        at = end


def png_info(chunks: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """The chunks of a PNG, kind and content, in Pillow's words: its own decoder flattens deep colour."""
    info: dict[str, Any] = {}
    for kind, data in chunks:
        if kind == b"eXIf":
            info["exif"] = data
        elif kind == b"iCCP":
            with contextlib.suppress(zlib.error):  # a profile is cut at 16 MiB
                info["icc_profile"] = zlib.decompressobj().decompress(data.partition(b"\0")[2][1:], 2**24)
        elif kind == b"pHYs" and len(data) == 9 and data[8] == 1:
            info["dpi"] = tuple(value * 0.0254 for value in struct.unpack(">II", data[:8]))
        elif kind == b"iTXt" and data.startswith(XMP_IN_PNG):
            info["xmp"] = data.removeprefix(XMP_IN_PNG)
    return info


def tiff_metadata(tiff: Any, data: Bytes, page: Any) -> Metadata:
    """From one page of a TIFF, opened by tifffile, whose file is `data`; damage loses the part it is in."""
    tags = page.tags
    exif: Directory = {}
    lost = []
    for tag in (tags[code] for code in ABOUT if code in tags):
        if not isinstance(tag.value, str):
            lost.append(f"TIFF tag {tag.code} (of a wrong type)")
        elif not OWN_WORDS.search(tag.value.encode()):
            exif[tag.code] = Entry(2, tag.value.encode() + b"\0")
    for code, name in ((EXIF, "EXIF"), (GPS, "GPS")):
        if code in tags:
            try:
                exif[code] = read_directory(data, tiff.byteorder, tags[code].valueoffset, tiff.is_bigtiff)
            except ValueError:
                lost.append(f"{name} (damaged)")
    geo = []
    for tag in (tags[code] for code in GEO if code in tags):
        kind, is_text = int(tag.dtype), isinstance(tag.value, str)
        if kind in GEO_TYPES.get(tag.code, (11, 12)) and (kind == 2) == is_text:
            geo.append((tag.code, kind, tag.count, tag.value))
        else:
            lost.append(f"GeoTIFF tag {tag.code} (of a wrong type)")
    found = {name: tags[code].value if code in tags else b"" for code, name in ((ICC, "colour profile"), (XMP, "XMP"))}
    lost += [f"{name} (of a wrong type)" for name, value in found.items() if value and not isinstance(value, bytes)]
    icc, xmp = (value if isinstance(value, bytes) else b"" for value in found.values())
    resolution = _tiff_resolution(tags)
    lost += ["resolution (not a size)"] if resolution is None and 282 in tags else []
    return Metadata(icc, exif or None, xmp, resolution, tuple(geo), tuple(lost))


def _plausible(resolution: tuple[float, float, int]) -> tuple[float, float, int] | None:
    x, y, unit = resolution
    return resolution if 0 < x <= FINEST and 0 < y <= FINEST and unit in (1, 2, 3) else None


def _tiff_resolution(tags: Any) -> tuple[float, float, int] | None:
    try:
        x, y = (tags[code].value[0] / tags[code].value[1] for code in (282, 283))
        return _plausible((x, y, int(tags[296].value) if 296 in tags else 2))
    except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError):
        return None
