"""Failures of unpaired training as numbers: each is near a known value in a healthy run, far from it otherwise.

Every function takes batches in [-1, 1]. Thresholds and reasons are in `training/doctor.py`.
"""

from __future__ import annotations

import torch

from unpaired.imaging.images import Images
from unpaired.metrics.paired import PerImage

LEVEL = 2 / 255
"""One 8-bit level, in the range of `Images`."""
FLAT = 1e-6


def spread(images: Images) -> PerImage:
    """Deviation of each image's values, in 8-bit levels: 0 for a blank one."""
    return images.flatten(1).std(1) / LEVEL


def brightness_correlation(inputs: Images, outputs: Images) -> PerImage:
    """How brightness goes along with the input's, pixel by pixel: 1 kept, -1 inverted, about 0 unrelated or flat."""
    rows = (images.mean(1).flatten(1) for images in (inputs, outputs))
    x, y = (each - each.mean(1, keepdim=True) for each in rows)
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=FLAT)


def change(inputs: Images, outputs: Images) -> PerImage:
    """Mean |G(x) - x| of each image in 8-bit levels: 0 where the input is copied."""
    return (outputs - inputs).abs().flatten(1).mean(1) / LEVEL


def distance_between(a: Images, b: Images) -> float:
    """Mean |difference| in levels of every image of one batch from every one of the other."""
    return float((a[:, None] - b[None]).abs().mean()) / LEVEL


def variety(images: Images) -> float:
    """Mean |difference| in levels between two different images of a batch: 0 when all are equal."""
    n = len(images)
    return distance_between(images, images) * n / max(n - 1, 1)


def fragility(inputs: Images, back: Images, back_of_noisy: Images, noise: float) -> PerImage:
    """By how much the cycle's error grows when faint noise is laid over the translation, per level of that noise.

    At most about 1 for a way back that reads what is to be seen; many times that where the translation hides the
    input in a signal too faint to see, which the way back must amplify, and the noise with it. `back` is the way back
    from the translations, `back_of_noisy` that from translations with `noise`, its deviation in the range of `Images`.

    Source: Chu, Zhmoginov, Sandler, CycleGAN, a Master of Steganography, 2017 (arXiv:1712.02950).
    """
    return (change(inputs, back_of_noisy) - change(inputs, back)) / (noise / LEVEL)


def lattice(images: Images) -> PerImage:
    """Energy at the finest frequencies, over that of somewhat coarser ones: well below 1 in photographs.

    Stride-1/2 convolutions whose kernel does not divide by the stride leave a pattern of two pixels' period, which
    is a peak there (Odena, Dumoulin, Olah, Deconvolution and Checkerboard Artifacts, Distill 2016).
    """
    gray = images.mean(1)
    height, width = gray.shape[1:]
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    mean = gray.mean((1, 2), keepdim=True)
    power = torch.fft.fft2((gray - mean) * window).abs().square()
    vertical, horizontal = torch.fft.fftfreq(height).abs()[:, None], torch.fft.fftfreq(width).abs()
    frequency = torch.maximum(vertical, horizontal)
    finest, coarser = frequency > 0.46, (frequency > 0.34) & (frequency <= 0.42)
    return power[:, finest].mean(1) / power[:, coarser].mean(1).clamp(min=FLAT)
