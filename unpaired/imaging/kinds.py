"""Formats by the first bytes or the name of a file, and in words what is no image."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import PurePath
from typing import TypeVar

from unpaired.core.errors import BadInput

AnyPath = TypeVar("AnyPath", bound=PurePath)

HEAD = 1024
"""Bytes of a file that tell its kind."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIC", "DICOM", "NIfTI")
ALIASES = {
    **{".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"},
    **{".pgm": ".ppm", ".pnm": ".ppm", ".heif": ".heic"},
    **{".dicom": ".dcm", ".ima": ".dcm"},
}
"""Suffixes that mean the same as another."""
MEDICAL = (".dcm", ".nii", ".nii.gz")
SUFFIXES = frozenset({".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".avif", ".heic", *MEDICAL, *ALIASES})
MAGICS = (
    ((b"\x89PNG\r\n\x1a\n",), ".png"),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), ".tif"),
    ((b"\xff\xd8\xff",), ".jpg"),
    ((b"RIFF",), ".webp"),
    ((b"BM",), ".bmp"),
    ((b"GIF87a", b"GIF89a"), ".gif"),
    ((b"P5", b"P6"), ".ppm"),
)
"""How files of each format begin."""
KINDS = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"<svg": "an SVG drawing",
    b"<!do": "a web page",
    b"<htm": "a web page",
    b"<?xm": "an XML document",
    b"\x1aE\xdf\xa3": "a Matroska or WebM video",
}
"""Beginnings of files that are often taken for images."""
DICOMDIR = b"UI\x14\x001.2.840.10008.1.3.10"
"""Class of the index of DICOM files on a disc."""


def suffix_of_name(name: PurePath | str) -> str:
    """The suffix of a file's name in lower case, `.nii.gz` too; a number, as at the end of a DICOM UID, is none."""
    name = str(name).lower()
    suffix = ".nii.gz" if name.endswith(".nii.gz") else os.path.splitext(name)[1]
    return "" if suffix[1:].isdecimal() else suffix


def without_suffix(path: AnyPath) -> AnyPath:
    """A path without what `suffix_of_name` finds."""
    return path.with_name(path.name[: len(path.name) - len(suffix_of_name(path.name))])


def suffix_of(data: bytes) -> str:
    """The suffix of the format that a file's first bytes tell; raises `BadInput` for an unknown format."""
    for magics, suffix in MAGICS:
        if data.startswith(magics):
            return suffix
    if data[4:8] == b"ftyp":  # a file of ISO base media boxes
        return ".avif" if data[8:12] in (b"avif", b"avis") else ".heic"
    if data[128:132] == b"DICM":
        if DICOMDIR not in data[:HEAD]:
            return ".dcm"
    elif data.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            if _is_nifti(zlib.decompressobj(31).decompress(data[:HEAD], 352)):
                return ".nii.gz"
    elif _is_nifti(data):
        return ".nii"
    if not data:
        raise BadInput("empty (0 bytes); replace or remove it")
    raise BadInput(f"not a {', '.join(FORMATS)} image ({beginning_of(data)}); replace or remove it")


def _is_nifti(head: bytes) -> bool:
    """Whether a file is NIfTI-1 or NIfTI-2 with the voxels behind the header."""
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def beginning_of(data: bytes) -> str:
    """How a file begins, e.g. `it is a PDF document`, `it begins with "hello"` or `it begins with bytes 00 ff`."""
    if not data:
        return "it is empty"
    start = data.lstrip()[:4].lower()
    for magic, kind in KINDS.items():
        if start == magic.lower()[:4] or data.startswith(magic):
            return f"it is {kind}"
    if data[4:8] == b"ftyp":
        return "it is an MP4 or HEIF file"
    shown = data[:12]
    text = shown.decode("ascii", "replace")
    if text.isprintable() and "\ufffd" not in text:
        return f'it begins with "{text}"'
    return f"it begins with bytes {shown.hex(' ')}"
