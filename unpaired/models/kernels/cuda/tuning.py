"""Launch parameters of the Triton kernels: everything to tune on a card, in one place.

`python -m benchmarks.gpu` measures a training step; the values here are the ones to vary.
"""

from __future__ import annotations

from dataclasses import dataclass

CHANNELS = 64
"""Channels that one program handles at most: 128 bytes of a pixel in bf16, one line of the cache."""
VALUES = 2048
"""Values in a program's tile: 16 in each thread of four warps, which makes two 16-byte accesses in bf16."""
WARPS = 4
TILES = 2
"""Tiles that one program of an elementwise pass writes, so that it merges the partial sums once for all of them."""
PROGRAMS = 2 * 132
"""Programs of a reduction that fill the card: two for each of the 132 multiprocessors of an H100."""
SPLITS = 32
"""Shares at most into which the pixels of an image are cut for partial sums: each reader merges all of them."""
ALIGNED_CHANNELS = 8
"""Channels below this are filled up with zeros in low precision: tensor cores multiply in groups of eight."""


@dataclass(frozen=True)
class Launch:
    """A tile of `channels` by `rows` (pixels), powers of two; `split` shares of an image's pixels for partial sums."""

    channels: int
    rows: int
    split: int

    def blocks(self, channels: int) -> int:
        """Programs along the channels."""
        return -(-channels // self.channels)

    def tiles(self, pixels: int) -> int:
        """Programs of an elementwise pass along the pixels."""
        return -(-pixels // (self.rows * TILES))


def launch(batch: int, channels: int, pixels: int) -> Launch:
    """The tile for `batch` images of so many channels and pixels."""
    wide = min(CHANNELS, power_of_two(channels))
    rows = min(VALUES // wide, max(16, power_of_two(pixels)))
    room = max(1, PROGRAMS // (batch * -(-channels // wide)))
    return Launch(wide, rows, max(1, min(SPLITS, room, pixels // rows)))


def power_of_two(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << max(0, n - 1).bit_length()
