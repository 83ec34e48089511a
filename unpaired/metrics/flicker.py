"""How much a translated video flickers: what changes where nothing moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpaired.imaging.images import Pixels

STILL = 2 / 255
"""A pixel whose channels change by no more than this part of the range shows nothing that moves."""


@dataclass
class Flicker:
    """Mean absolute change of the output between frames, less that of the input, over the pixels at rest.

    It is the temporal error of Lai et al. ("Learning Blind Video Temporal Consistency", ECCV 2018), which follows every
    pixel along the optical flow, restricted to pixels whose flow is known without estimating it: zero. In 8-bit levels;
    0 for an output that is as steady as its input.
    """

    total: float = 0.0
    """Sum of differences."""
    count: int = 0
    """Pixels at rest, times channels."""

    def add(self, before: Pixels, now: Pixels, out_before: Pixels, out_now: Pixels) -> None:
        """Two frames of the input and their translations, (h, w, c) of uint8."""
        moved = np.abs(now.astype(np.int16) - before)
        still = moved.max(axis=2) <= STILL * 255
        changed = np.abs(out_now.astype(np.int16) - out_before)
        self.total += float(changed[still].mean(axis=1).sum() - moved[still].mean(axis=1).sum())
        self.count += int(still.sum())

    @property
    def levels(self) -> float:
        """The measure; not a number where no pixel was at rest."""
        return self.total / self.count if self.count else float("nan")
