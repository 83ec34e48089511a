"""Training images on the device: whole images of 8 bits, copied when they are first drawn and cropped there later."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unpaired.core.device import free_bytes
from unpaired.data.sources import ImageFile
from unpaired.imaging.images import Pixels


class ResidentImages:
    """Images by file, as long as they take no more of the device's memory than is left free.

    Images of other bit depths, and masks, stay on the host. Threads may look images up while one thread adds some.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.images: dict[ImageFile, Tensor] = {}
        self.bytes = 0
        self.full = False

    def keep(self, file: ImageFile, pixels: Pixels | Tensor) -> None:
        """Copy an image of (h, w, c) pixels on the current stream, without waiting, where it fits."""
        if self.full or isinstance(pixels, Tensor) or pixels.dtype != np.uint8 or file in self.images:
            return
        self.full = self.bytes + pixels.nbytes > free_bytes(self.device)
        if not self.full:
            host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
            host.numpy()[:] = pixels
            try:
                self.images[file] = host.to(self.device, non_blocking=True)
                self.bytes += pixels.nbytes
            except torch.OutOfMemoryError:
                self.full = True
