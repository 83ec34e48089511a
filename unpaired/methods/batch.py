"""The input of one training step, on the device."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unpaired.imaging.images import Images
from unpaired.losses.masks import Masks


@dataclass(frozen=True)
class Batch:
    """Images of both domains in [-1, 1], with what belongs to them."""

    x: Images
    """Images of X, (b, c, h, w)."""
    y: Images
    """Images of Y, as many."""
    masks: tuple[Masks, Masks] | None = None
    """Where the images of X and of Y are translated, (b, 1, h, w) from 0 to 1; everywhere unless given."""
    pairs: tuple[Images, Images] | None = None
    """Aligned images of X and Y, for methods that learn from some."""
    weight: float = 1.0
    """Factor of the losses: images of this process over the mean of all processes; 0 for images that do not count."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor, in a fixed order."""
        return (self.x, self.y, *(self.masks or ()), *(self.pairs or ()))

    def split(self, count: int) -> list[Batch]:
        """At most `count` parts of about equal size, weighted by their share of the images; the pairs are left out."""
        if count == 1:
            return [Batch(self.x, self.y, self.masks, weight=self.weight)]
        pieces = zip(*(tensor.tensor_split(count) for tensor in (self.x, self.y, *(self.masks or ()))), strict=True)
        return [
            Batch(x, y, (masks[0], masks[1]) if masks else None, weight=self.weight * len(x) / len(self.x))
            for x, y, *masks in pieces
            if len(x)
        ]
