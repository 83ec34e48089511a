"""What a translation costs in memory and time on this machine, measured at the start; larger images are refused."""

from __future__ import annotations

import ctypes
import math
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unpaired.config import Scale
from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage
from unpaired.inference import Translator
from unpaired.inference.huge import translate_in_tiles
from unpaired.inference.options import LARGE, TILE
from unpaired.inference.tiling import Tiling

MEASURED = 256
"""Side of the image that is translated to measure the cost."""
PASSES = 2
"""Times it is; the fastest counts, so that other work on the machine refuses no image."""
THIN_TILE = 16 * TILE
"""Side of the tiles of images that are a few pixels high or wide."""
TILED = 1.5
"""A translation in tiles takes this many times longer."""
BYTES_BESIDE = 48
"""Per pixel: the decoded image, its floats, and those of the output while they are rounded."""
SLACK = 2**28
"""Bytes beyond the bound of a translation: the images of a batch as files, threads, fragmentation."""
Size = tuple[int, int]
"""Height and width."""


class TooLarge(BadInput):
    """An image that this machine cannot translate within the server's limits (413)."""


@dataclass
class Served:
    """One direction of a model, and what a translation costs and may cost."""

    translator: Translator
    memory: float = math.inf
    """Bytes that one translation may take."""
    seconds: float = math.inf
    """Seconds that it may take."""
    bytes_per_pixel: float = 0.0
    seconds_per_pixel: float = 0.0

    def at(self, scale: Scale) -> Served:
        """The same at a scale; an exported file, which keeps no training size, raises `BadInput` at `train`."""
        return self if scale == "own" else self._at_train

    @cached_property
    def _at_train(self) -> Served:
        return replace(self, translator=self.translator.at("train"))

    def measure(self) -> None:
        """Measure bytes and seconds per pixel by translating a gray square."""
        square = np.zeros((1, self.translator.channels_in, MEASURED, MEASURED), np.float32)
        times = []
        for _ in range(PASSES):
            began = time.perf_counter()
            with peak_bytes(self.translator) as peak:
                self.translator.runtime(square)
            times.append(time.perf_counter() - began)
            self.bytes_per_pixel = max(self.bytes_per_pixel, peak[0] / MEASURED**2)
        self.seconds_per_pixel = min(times) / MEASURED**2

    def tile_for(self, size: Size) -> int | None:
        """Side of the tiles in which an image of this size is translated; None for the whole at once.

        Large images are tiled as by `translate`, and so are thin ones, which are mostly padding; at the training scale
        none is. Raises `TooLarge` if the image does not fit into memory or time.
        """
        tile, need, seconds = self.plan(size)
        if need > self.memory or seconds > self.seconds:
            raise TooLarge(
                f"{size[1]}x{size[0]} needs about {need / 1e9:.1f} GB and {seconds:.0f} s; this machine translates up "
                f"to {self.max_pixels} pixels within {self.memory / 1e9:.1f} GB and {self.seconds:g} s"
            )
        return tile

    def plan(self, size: Size) -> tuple[int | None, float, float]:
        """Side of the tiles, if any, and the bytes and seconds that an image of this size needs."""
        pixels = self._padded(size)
        need, seconds = pixels * (self.bytes_per_pixel + BYTES_BESIDE), pixels * self.seconds_per_pixel
        thin = pixels > max(4 * math.prod(size), TILE**2)
        if self.translator.scale == "own" and (pixels > LARGE or thin or need > self.memory):
            with suppress(BadInput):  # a network that cannot be tiled
                area = min(pixels, (TILE + 64) ** 2)
                need = pixels * (self._plane_bytes + BYTES_BESIDE) + area * self.bytes_per_pixel
                return THIN_TILE if thin else TILE, need, TILED * seconds
        return None, need, seconds

    @property
    def max_pixels(self) -> int:
        """Pixels of the largest square that fits into memory and time."""
        low, high = 0, 2**17
        while high - low > 16:
            middle = (low + high) // 2
            _, need, seconds = self.plan((middle, middle))
            low, high = (middle, high) if need <= self.memory and seconds <= self.seconds else (low, middle)
        return low * low

    def together(self, size: Size) -> int:
        """Images of this size that fit into memory together; at least one."""
        need = self._padded(size) * (self.bytes_per_pixel + BYTES_BESIDE)
        return max(1, int(min(self.memory / need, 2**16)))

    def saw(self, size: Size, seconds: float) -> None:
        """Learn from a translation that was faster than the first ones."""
        self.seconds_per_pixel = min(self.seconds_per_pixel, seconds / max(self._padded(size), MEASURED**2))

    def translate(self, decoded: DecodedImage) -> DecodedImage:
        """One image, in tiles where `tile_for` says so."""
        tile = self.tile_for(self.translator.size_of(*decoded.pixels.shape[:2]))
        if tile is None:
            return self.translator.translate_decoded(decoded)
        return translate_in_tiles(self.translator, decoded, None, tile)

    def describe(self, limit: int) -> str:
        """The largest image and what bounds it, in words; `limit` is that of requests."""
        if limit < self.max_pixels:
            return f"up to {limit / 1e6:.1f} million pixels by --max-pixels"
        pixels = f"up to {self.max_pixels / 1e6:.1f} million pixels"
        return f"{pixels} within {self.memory / 1e9:.1f} GB and {self.seconds:g} s"

    @cached_property
    def _plane_bytes(self) -> float:
        """Per pixel: of the planes that a translation in tiles keeps from sweep to sweep."""
        bundle, side = self.translator.bundle, 1024
        if bundle is None:
            raise BadInput("an exported file cannot be tiled")
        network = bundle.translators[self.translator.direction]
        return Tiling.exact(network, (side, side), self.translator.channels_in).room / side**2

    def _padded(self, size: Size) -> int:
        """Pixels that the network sees of an image of this size."""
        return math.prod(self.translator.padded_size(*size))


@contextmanager
def peak_bytes(translator: Translator) -> Iterator[list[int]]:
    """Inside, measures how far the memory in use rises: of the card where the network is on one, else the process."""
    found = [0]
    if translator.device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(translator.device)
        before = torch.cuda.memory_allocated(translator.device)
        yield found
        found[0] = torch.cuda.max_memory_allocated(translator.device) - before
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # memory that was freed but kept would hide what is needed
    before, done = resident_bytes(), threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            found[0] = max(found[0], resident_bytes() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def bound_memory(more: int) -> None:
    """On Linux, limit this process to its present memory and `more` bytes: what needs more fails, not the machine."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/status", encoding="ascii") as file:
            kilobytes = re.search(r"VmData:\s+(\d+)", file.read())
        if kilobytes:
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (int(kilobytes[1]) * 1024 + more + SLACK, most))
