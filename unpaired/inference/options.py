"""How files are translated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unpaired.core.errors import BadInput
from unpaired.inference.translator import Translator

LARGE = 2048 * 2048
"""Images of more pixels are translated in tiles without being asked: whole, a pixel takes about 1 KB at width 64."""
TILE = 512
"""Side of a tile in pixels, unless another is asked for."""


@dataclass(frozen=True)
class Options:
    """How files are translated."""

    batch: int = 1
    """Images of one size that go through the network together."""
    mask: Path | None = None
    """An image, or a folder of images by the images' names: only what is light in it is translated."""
    feather: int = 0
    """Pixels inside the mask's edge over which the translation fades in."""
    tile: int | None = None
    """Side of tiles in pixels; unless given, images of more than `LARGE` pixels are tiled by themselves."""
    statistics: Literal["exact", "sampled"] = "exact"
    """What the tiles share: the statistics of the whole image, or those of parts spread over it."""
    smooth: float = 0.0
    """Of a video: decay of the InstanceNorm statistics from frame to frame."""
    report: Path | None = None
    """File for a line of JSON for each file: what was written of it, or why nothing was."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.feather < 0:
            raise BadInput(f"batch must be at least 1 and feather at least 0, got {self.batch} and {self.feather}")

    def tiles(self, translator: Translator, height: int, width: int) -> int | None:
        """The side of tiles for an image of this size; None where it goes through the network whole."""
        if translator.scale == "train":
            return None
        size = height * width
        large = size > LARGE and translator.bundle is not None
        return (self.tile or TILE) if size and (self.tile or large) else None
