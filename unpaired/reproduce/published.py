"""The paper's own numbers (arXiv:1703.10593, Tables 1 to 5), each with how we know it.

They were measured on Cityscapes at 128 px and on maps at 256 px; ours on Earth labels. What can be compared is the
order of the methods, never the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Provenance = Literal["S", "M"]
MARKS: dict[Provenance, str] = {
    "S": "as quoted in other publications and notes",
    "M": "from memory, not confirmed",
}


@dataclass(frozen=True)
class Published:
    """One row: what the paper prints, and how we know."""

    values: tuple[str, ...]
    mark: Provenance


TABLE1: dict[str, Published] = {
    "CoGAN": Published(("0.6", "0.9"), "S"),
    "BiGAN/ALI": Published(("2.1", "1.9"), "S"),
    "SimGAN": Published(("0.7", "2.6"), "S"),
    "Feature loss + GAN": Published(("1.2", "0.3"), "S"),
    "CycleGAN": Published(("26.8", "23.2"), "S"),
}
"""% of trials in which a fake was taken for real: map -> photo, photo -> map."""

TABLE2: dict[str, Published] = {
    "CoGAN": Published(("0.40", "0.10", "0.06"), "M"),
    "BiGAN/ALI": Published(("0.19", "0.06", "0.02"), "M"),
    "SimGAN": Published(("0.20", "0.10", "0.04"), "M"),
    "Feature loss + GAN": Published(("0.06", "0.04", "0.01"), "M"),
    "CycleGAN": Published(("0.52", "0.17", "0.11"), "S"),
    "pix2pix": Published(("0.71", "0.25", "0.18"), "S"),
}
"""FCN scores, labels -> photo: per-pixel accuracy, per-class accuracy, class IoU."""

TABLE3: dict[str, Published] = {
    "CoGAN": Published(("0.45", "0.11", "0.08"), "S"),
    "BiGAN/ALI": Published(("0.41", "0.13", "0.07"), "S"),
    "SimGAN": Published(("0.47", "0.11", "0.07"), "S"),
    "Feature loss + GAN": Published(("0.50", "0.10", "0.06"), "S"),
    "CycleGAN": Published(("0.58", "0.22", "0.16"), "S"),
    "pix2pix": Published(("0.85", "0.40", "0.32"), "S"),
}
"""Classification, photo -> labels."""

TABLE4: dict[str, Published] = {
    "Cycle alone": Published(("0.22", "0.07", "0.02"), "M"),
    "GAN alone": Published(("0.51", "0.11", "0.08"), "S"),
    "GAN + forward cycle": Published(("0.55", "0.18", "0.12"), "M"),
    "GAN + backward cycle": Published(("0.39", "0.14", "0.06"), "M"),
    "CycleGAN": Published(("0.52", "0.17", "0.11"), "S"),
}
"""Ablation, FCN scores, labels -> photo."""

TABLE5: dict[str, Published] = {
    "Cycle alone": Published(("0.10", "0.05", "0.02"), "M"),
    "GAN alone": Published(("0.53", "0.11", "0.07"), "S"),
    "GAN + forward cycle": Published(("0.49", "0.11", "0.07"), "M"),
    "GAN + backward cycle": Published(("0.01", "0.06", "0.01"), "M"),
    "CycleGAN": Published(("0.58", "0.22", "0.16"), "S"),
}
"""Ablation, photo -> labels."""
