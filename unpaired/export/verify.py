"""No export is kept that was not compared with the network it came from: exporters have been silently wrong before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Array
from unpaired.inference.runtimes import Exported, Runtime
from unpaired.inference.runtimes.facts import Precision
from unpaired.metrics.paired import ssim

EXACT = 1e-3
"""Largest difference allowed to fp32, in [-1, 1]: an eighth of an 8-bit level."""
RANGE = 2.0
"""All that two images in [-1, 1] can differ by: coarser arithmetic may be wrong on noise, but not infinite."""
SIMILAR: dict[Precision, float] = {"bf16": 0.99, "int8": 0.97}
"""Least mean SSIM to the fp32 network on images of the training sets, where arithmetic is coarser."""


def five_shapes(multiple: int, least: int) -> tuple[tuple[int, int, int], ...]:
    """(batch, height, width): divisible, odd, batches, not square, and smaller than what the network divides by."""
    n = -(-max(least, 32) // multiple) * multiple
    return ((1, n, n), (1, n + 1, 2 * n - 1), (3, 2 * n, n + multiple), (2, n + multiple - 1, n), (1, multiple - 1, 2))


def verify(exported: Exported, network: Runtime, images: Sequence[Array]) -> str:
    """Compare an exported file, in its own engine, with the fp32 network in torch; returns what was found, in words.

    `images` (c, h, w) of the training set are needed for bf16 and int8.

    Raises:
        BadInput: it differs by more than `EXACT` or is less similar than `SIMILAR`.
    """
    shapes = five_shapes(exported.facts.size_multiple, exported.facts.min_size)
    differences = [_difference(exported, network, shape) for shape in shapes]
    least = SIMILAR.get(exported.facts.precision)
    allowed = EXACT if least is None else RANGE
    worst = int(np.argmax(differences))
    if not differences[worst] <= allowed:
        where = "x".join(map(str, shapes[worst]))
        raise BadInput(f"{exported.label} differs from torch by {differences[worst]:.3g} at {where}, over {allowed}")
    if least is None:
        return f"differs from torch by at most {differences[worst]:.1g} in [-1, 1] at five shapes"
    found = similarity(exported, network, images)
    if not found >= least:
        raise BadInput(f"{exported.label} has a mean SSIM to fp32 of {found:.4f}, below {least}")
    return f"mean SSIM {found:.4f} to fp32 on {len(images)} images"


def similarity(exported: Runtime, network: Runtime, images: Sequence[Array]) -> float:
    """Mean SSIM of translated images, on 8-bit levels."""
    pairs = ([torch.from_numpy(run(image[None])) for run in (exported, network)] for image in images)
    scores = [float(ssim(*pair)) for pair in pairs]
    return float(np.mean(scores)) if scores else float("nan")


def _difference(exported: Runtime, network: Runtime, shape: tuple[int, int, int]) -> float:
    """Largest difference on noise; infinite where shapes differ or a value is not finite."""
    batch, *size = shape
    images = np.random.default_rng(shape).uniform(-1, 1, (batch, network.channels_in, *size)).astype(np.float32)
    output, truth = exported(images), network(images)
    if output.shape != truth.shape or not np.isfinite(output).all():
        return float("inf")
    return float(np.abs(output - truth).max())
