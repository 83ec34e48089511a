"""The paper's own numbers (arXiv:1703.10593, Tables 1 to 5), as other publications quote them; empty where none does.

They were measured on Cityscapes at 128 px and on maps at 256 px; ours on Earth labels. What can be compared is the
order of the methods, never the numbers.
"""

from __future__ import annotations

NOTE = "published numbers as quoted in other publications, empty where none does"
Rows = dict[str, tuple[str, ...]]
"""The values of each method, in the order of the table's columns."""

TABLE1: Rows = {
    "CoGAN": ("0.6", "0.9"),
    "BiGAN/ALI": ("2.1", "1.9"),
    "SimGAN": ("0.7", "2.6"),
    "Feature loss + GAN": ("1.2", "0.3"),
    "CycleGAN": ("26.8", "23.2"),
}
"""% of trials in which a fake was taken for real: map -> photo, photo -> map."""

TABLE2: Rows = {
    **dict.fromkeys(("CoGAN", "BiGAN/ALI", "SimGAN", "Feature loss + GAN"), ()),
    "CycleGAN": ("0.52", "0.17", "0.11"),
    "pix2pix": ("0.71", "0.25", "0.18"),
}
"""FCN scores, labels -> photo: per-pixel accuracy, per-class accuracy, class IoU."""

TABLE3: Rows = {
    "CoGAN": ("0.45", "0.11", "0.08"),
    "BiGAN/ALI": ("0.41", "0.13", "0.07"),
    "SimGAN": ("0.47", "0.11", "0.07"),
    "Feature loss + GAN": ("0.50", "0.10", "0.06"),
    "CycleGAN": ("0.58", "0.22", "0.16"),
    "pix2pix": ("0.85", "0.40", "0.32"),
}
"""Classification, photo -> labels."""

TABLE4: Rows = {
    "Cycle alone": (),
    "GAN alone": ("0.51", "0.11", "0.08"),
    "GAN + forward cycle": (),
    "GAN + backward cycle": (),
    "CycleGAN": ("0.52", "0.17", "0.11"),
}
"""Ablation, FCN scores, labels -> photo."""

TABLE5: Rows = {
    "Cycle alone": (),
    "GAN alone": ("0.53", "0.11", "0.07"),
    "GAN + forward cycle": (),
    "GAN + backward cycle": (),
    "CycleGAN": ("0.58", "0.22", "0.16"),
}
"""Ablation, photo -> labels."""
