"""How far a translation is from its truth, image by image, on 8-bit levels.

Every function takes two batches in [-1, 1] of the same shape, rounds both to the 8-bit levels a file would hold,
and returns one number per image, so that a mean, an interval and a list of the worst cases come from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.imaging.images import Images

Levels = Float[Tensor, "b c h w"]
"""Whole numbers from 0 to 255, as floats."""
PerImage = Float[Tensor, "b"]
WHITE = 255.0
PSNR_CAP = 100.0
"""dB given to identical images, whose PSNR is infinite; an infinite value would swallow the mean of a test set."""
SSIM_RADIUS, SSIM_SIGMA = 5, 1.5
SSIM_WINDOW = 2 * SSIM_RADIUS + 1
K1, K2 = 0.01, 0.03


def levels(images: Images) -> Levels:
    """The 8-bit levels a file would hold: [-1, 1] to 0..255, clipped and rounded as `images.to_pixels` does."""
    return ((images.float() + 1) * (WHITE / 2)).clamp(0, WHITE).round()


def mean_abs_error(output: Images, truth: Images) -> PerImage:
    """Mean of |output - truth| over pixels and channels: 0 where equal, 255 from black to white."""
    return (_same_shape(output, truth) - levels(truth)).abs().flatten(1).mean(1)


def psnr(output: Images, truth: Images) -> PerImage:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean squared error); at most `PSNR_CAP`."""
    squared = (_same_shape(output, truth) - levels(truth)).square().flatten(1).mean(1)
    return (10 * torch.log10(WHITE**2 / squared)).clamp(max=PSNR_CAP)


def ssim(output: Images, truth: Images) -> PerImage:
    """Structural similarity: 1 where equal, about 0 where nothing agrees; the mean over pixels and channels.

    Gaussian window of 11 x 11 with sigma 1.5, only where it is wholly inside the image. In float64: on flat areas the
    variances are differences of large numbers, of which float32 keeps three digits.

    Raises:
        ValueError: an image smaller than the window.

    Source: Wang, Bovik, Sheikh, Simoncelli, Image Quality Assessment, IEEE TIP 13(4), 2004, Eq. 13 and Sec. III-C.
    """
    batches = _same_shape(output, truth), levels(truth)
    x, y = ((each.cpu() if each.device.type == "mps" else each).double() for each in batches)  # MPS has no float64
    if min(x.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"ssim: expected at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, got {tuple(x.shape[2:])}")
    mean_x, mean_y = _blur(x), _blur(y)
    variances = _blur(x.square() + y.square()) - mean_x.square() - mean_y.square()
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (K1 * WHITE) ** 2, (K2 * WHITE) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (luminance * structure).flatten(1).mean(1)


def separable(x: Float[Tensor, "b c h w"], weights: Sequence[float]) -> Float[Tensor, "b c h2 w2"]:
    """Weighted sums down the columns, then along the rows, where the k weights are wholly inside: h - k + 1.

    Shifted sums: several times quicker on a busy CPU than a convolution of one channel.
    """
    for axis in (2, 3):
        length = x.shape[axis] - len(weights) + 1
        total = x.narrow(axis, 0, length) * weights[0]
        for shift, weight in enumerate(weights[1:], start=1):
            total.add_(x.narrow(axis, shift, length), alpha=weight)
        x = total
    return x


def _same_shape(output: Images, truth: Images) -> Levels:
    if output.shape != truth.shape:
        raise ValueError(f"expected two batches of one shape, got {tuple(output.shape)} and {tuple(truth.shape)}")
    return levels(output)


def _blur(x: Levels) -> Levels:
    """Gaussian mean around every pixel whose window is inside the image; (b, c, h - 10, w - 10)."""
    weights = [math.exp(-(place**2) / (2 * SSIM_SIGMA**2)) for place in range(-SSIM_RADIUS, SSIM_RADIUS + 1)]
    return separable(x, [weight / sum(weights) for weight in weights])
