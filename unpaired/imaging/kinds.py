"""What a file is that is no image, in words."""

from __future__ import annotations

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
SHOWN = 12
"""Bytes of an unknown beginning that are shown."""


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
    text = data[:SHOWN].decode("ascii", "replace")
    if text.isprintable() and "\ufffd" not in text:
        return f'it begins with "{text}"'
    return f"it begins with bytes {data[:SHOWN].hex(' ')}"
