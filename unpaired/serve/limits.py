"""What a request may hold, and what all of them together may take."""

from __future__ import annotations

from dataclasses import dataclass

from unpaired.core.errors import BadInput

MIB = 2**20
MEDIA_TYPES = {
    **{".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"},
    **{".tif": "image/tiff", ".bmp": "image/bmp", ".gif": "image/gif", ".avif": "image/avif", ".heic": "image/heic"},
    **{".ppm": "image/x-portable-anymap", ".dcm": "application/dicom"},
}
"""Of images by suffix."""
OTHER = "application/octet-stream"
"""Bytes whose kind the content tells."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one request and of all that wait; what is over them gets a planned answer."""

    max_bytes: int = 32 * MIB
    """Bytes of a request's body; counted while they come in, whatever the headers say (413)."""
    max_pixels: int = 16_777_216
    """Height times width of an image, read from its header before it is decoded (422)."""
    queue: int = 32
    """Requests that may wait for the worker; the next is told to come back (503)."""
    batch: int = 8
    """Images handed to the worker at once; those of one padded size go through the network together."""
    timeout: float = 120.0
    """Seconds from a request's first byte to its answer (504), and between a worker's signs of life."""
    grace: float = 30.0
    """Seconds that accepted requests have to finish once the server is asked to stop."""
    memory_gb: float = 0.0
    """Gigabytes that a translation may take (413); 0 for half of what is free when the worker starts."""
    device: str = "auto"
    """Where the worker's networks run; see `core.device.pick_device`."""
    exact: bool = True
    """Join images only in batches that were seen to give the same bits as one by one."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "queue", "batch", "timeout", "grace"):
            if not getattr(self, name) > 0:
                raise BadInput(f"{name.replace('_', '-')}: expected more than 0, got {getattr(self, name)}")
        if not 0 <= self.memory_gb < 1e6:
            raise BadInput(f"memory-gb: expected gigabytes, or 0 for half of the free memory, got {self.memory_gb}")

    @property
    def held_bytes(self) -> int:
        """Bytes of images in memory, over all requests that are coming in or wait (503)."""
        return 16 * self.max_bytes
