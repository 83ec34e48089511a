"""How files are translated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unpaired.core.device import free_bytes
from unpaired.core.errors import BadInput
from unpaired.inference.translator import Translator

if TYPE_CHECKING:
    import torch

LARGE = 2048 * 2048
"""Images of more pixels are translated in tiles without being asked: whole, a pixel takes about 1 KB at width 64."""
TILE = 512
"""Side of a tile in pixels on a CPU, unless another is asked for."""
LEAST, MOST = 256, 4096
"""Sides of tiles on a card."""
MARGIN = 256
"""Pixels that a tile reads beyond its sides, both together, in the published networks."""
BYTES_PER_PIXEL = 4096
"""Of a tile at width 64: four planes of 64 channels in fp32 live at once, and as much for convolutions."""
Statistics = Literal["exact", "sampled"]
"""Of the whole image, or of parts that are spread over it."""


@dataclass(frozen=True)
class Options:
    """How files are translated."""

    batch: int = 1
    """Images of one padded size that go through the network together."""
    mask: Path | None = None
    """An image, or a folder of images by the images' names: only what is light in it is translated."""
    feather: int = 0
    """Pixels inside the mask's edge over which the translation fades in."""
    tile: int | None = None
    """Side of tiles in pixels; unless given, images of more than `LARGE` pixels are tiled by themselves."""
    statistics: Statistics = "exact"
    """What the tiles share."""
    smooth: float = 0.0
    """Of a video: decay of the InstanceNorm statistics from frame to frame."""
    report: Path | None = None
    """File for a line of JSON for each file: what was written of it, or why nothing was."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.feather < 0:
            raise BadInput(f"batch must be at least 1 and feather at least 0, got {self.batch} and {self.feather}")
        if self.feather and not self.mask:
            raise BadInput(f"--feather {self.feather} softens the edge of a mask; give --mask, too")

    def tiles(self, translator: Translator, height: int, width: int) -> int | None:
        """The side of tiles for an image of this size; None where it goes through the network whole."""
        if translator.scale == "train":
            return None
        size = height * width
        large = size > LARGE and translator.bundle is not None
        return (self.tile or tile_for(translator.device)) if size and (self.tile or large) else None


def tile_for(device: torch.device) -> int:
    """The side of tiles: `TILE` on a CPU; on a card what half of its free memory holds, from 256 to 4096."""
    if device.type != "cuda":
        return TILE
    pixels, side = free_bytes(device) // (2 * BYTES_PER_PIXEL), LEAST
    while side < MOST and (2 * side + MARGIN) ** 2 <= pixels:
        side *= 2
    return side
