"""Media types of requests and answers."""

from __future__ import annotations

MEDIA_TYPES = {
    **{".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"},
    **{".tif": "image/tiff", ".bmp": "image/bmp", ".dcm": "application/dicom"},
}
"""Of images by suffix."""
OTHER = "application/octet-stream"
"""Bytes whose kind the content tells."""
