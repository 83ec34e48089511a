"""Label images and what they mean: every class has a colour, and a pixel's class is that of the nearest colour.

The paper's photo -> labels protocol (CycleGAN Sec. 5.1.1): "we convert the output RGB to class-level labels using the
nearest neighbour in the colour space of the ground truth classes".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Images
from unpaired.metrics.paired import levels

Labels = Int[Tensor, "b h w"]
IGNORE = 255
"""Label of true pixels whose colour is no class's: they do not count."""


@dataclass(frozen=True)
class Palette:
    """The classes of a label domain, in the order of their numbers."""

    domain: str
    """Which domain holds the label images: A or B."""
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, manifest: Mapping[str, Any], root: object) -> Palette:
        """The entry `palette` of `dataset.json`.

        Raises:
            BadInput: it names no palette.
        """
        facts = manifest.get("palette")
        if not isinstance(facts, dict) or facts.get("domain") not in ("A", "B") or not facts.get("classes"):
            raise BadInput(
                f"{root}: expected a data set of labels, whose dataset.json names a palette; `unpaired prepare earth "
                f"DATA --pair satellite-labels` and `unpaired prepare cityscapes` make one"
            )
        colours = tuple((int(red), int(green), int(blue)) for red, green, blue in facts["classes"].values())
        return cls(facts["domain"], tuple(facts["classes"]), colours)

    def nearest(self, images: Images) -> Labels:
        """For every pixel the class whose colour is nearest, (b, h, w): how a translation is read."""
        return self._distances(images).argmin(1)

    def exact(self, images: Images) -> Labels:
        """For every pixel the class whose colour it has, else `IGNORE`: how the truth is read."""
        least, labels = self._distances(images).min(1)
        return torch.where(least == 0, labels, IGNORE)

    def _distances(self, images: Images) -> Tensor:
        """Squared distances in 8-bit levels, (b, classes, h, w)."""
        if images.shape[1] != 3:
            raise ValueError(f"labels are colours: expected 3 channels (red, green, blue), got {images.shape[1]}")
        shown = levels(images)
        colours = torch.tensor(self.colours, dtype=shown.dtype, device=shown.device)
        return torch.stack([(shown - colour.view(1, 3, 1, 1)).square().sum(1) for colour in colours], dim=1)
