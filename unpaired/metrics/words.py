"""Label, unit and direction of each metric, for tables and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Words:
    """A metric as people read it."""

    label: str
    better: Literal["lower", "higher"]
    digits: int
    """Decimals worth showing."""
    meaning: str
    """One sentence for a newcomer."""


METRICS: dict[str, Words] = {
    "mean_abs_error": Words(
        "mean error (levels)", "lower", 1, "How far a pixel is from the truth on average, of 255 levels of brightness."
    ),
    "psnr": Words("PSNR (dB)", "higher", 2, "The same on a logarithmic scale that minds large errors more."),
    "ssim": Words("SSIM", "higher", 3, "Whether edges and textures sit where they should: 1 is the same image."),
    "water_iou": Words(
        "water IoU", "higher", 3, "Of all pixels that are water in the translation or in the truth, the share in both."
    ),
    "swd": Words(
        "SWD (x1000)",
        "lower",
        1,
        "Whether the translations, as a set, are made of the same small patches as real images; needs no truth.",
    ),
    "cycle_error": Words(
        "cycle error (levels)", "lower", 1, "How much is lost on the way there and back again: needs no truth."
    ),
}
"""In the order of a table. Keys are those of `evaluate`'s JSON."""

BASELINES: dict[str, str] = {
    "copy": "copying the input",
    "mean_colour": "mean colour",
    "histogram_matching": "histogram matching",
}
"""Labels of the baselines by their keys in `evaluate`'s JSON."""
