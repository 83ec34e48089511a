"""Triton kernels of z = pad(activation(norm(y)) + residual), forward and backward, in two passes each.

All tensors are (b, c, h, w) in memory order b, h, w, c; every one comes with the strides of its images, rows and
pixels, so that a part of a larger one serves as well. Values are loaded in any precision and computed in fp32.

The statistics of InstanceNorm are sums over shares of the pixels: each share has its mean and its squared deviations
from it, and shares are merged by the rule of Chan, Golub and LeVeque (1979), in which nothing cancels.
"""

# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import triton
import triton.language as tl

NONE, REFLECT, ZERO = 0, 1, 2
"""Padding."""


@triton.jit
def _read(base, i, j, c, row, pixel, channel, mask):
    """Values at rows i and columns j, (R, BC), in fp32."""
    offset = (i.to(tl.int64) * row + j * pixel)[:, None] + (c * channel)[None, :]
    return tl.load(base + offset, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _write(base, i, j, c, row, pixel, value, mask):
    offset = (i.to(tl.int64) * row + j * pixel)[:, None] + c[None, :]
    tl.store(base + offset, value, mask=mask)


@triton.jit
def measure(y, image, row, pixel, channel, part, W, HW, C, SPLIT, R: tl.constexpr, BC: tl.constexpr):
    """Mean and squared deviations of each share of the pixels: part (b, SPLIT, 2, C)."""
    b, k, s = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    c = k * BC + tl.arange(0, BC)
    inside = c < C
    base = y + b.to(tl.int64) * image
    share = tl.cdiv(HW, SPLIT)
    low = s * share
    high = tl.minimum(low + share, HW)
    count = tl.maximum(high - low, 1).to(tl.float32)
    # Deviations from the mean of the share's own first tile: they are never large beside its spread.
    o = low + tl.arange(0, R)
    first = _read(base, o // W, o % W, c, row, pixel, channel, (o < high)[:, None] & inside[None, :])
    shift = tl.sum(first, 0) / tl.minimum(count, R * 1.0)
    one = tl.zeros((R, BC), tl.float32)
    two = tl.zeros((R, BC), tl.float32)
    for start in range(low, high, R):
        o = start + tl.arange(0, R)
        mask = (o < high)[:, None] & inside[None, :]
        d = _read(base, o // W, o % W, c, row, pixel, channel, mask) - shift[None, :]
        d = tl.where(mask, d, 0.0)
        one += d
        two += d * d
    total = tl.sum(one, 0)
    out = part + ((b * SPLIT + s) * 2) * C + c
    tl.store(out, shift + total / count, mask=inside)
    tl.store(out + C, tl.maximum(tl.sum(two, 0) - total * total / count, 0.0), mask=inside)


@triton.jit
def _affine(part, gamma, beta, b, c, inside, HW, C, SPLIT, eps, NORM: tl.constexpr, SP: tl.constexpr, BC: tl.constexpr):
    """(BC,) each: mean and 1 / sqrt(variance + eps) of whole images, then scale and shift, a convolution's bias."""
    mean = tl.zeros((BC,), tl.float32)
    rate = tl.full((BC,), 1.0, tl.float32)
    if NORM:
        s = tl.arange(0, SP)
        share = tl.cdiv(HW, SPLIT)
        n = tl.maximum(tl.minimum(share, HW - s * share), 0)
        n = tl.where(s < SPLIT, n, 0).to(tl.float32)[:, None]
        mask = (s < SPLIT)[:, None] & inside[None, :]
        at = part + ((b * SPLIT + s) * 2)[:, None] * C + c[None, :]
        means = tl.load(at, mask=mask, other=0.0)
        squares = tl.load(at + C, mask=mask, other=0.0)
        mean = tl.sum(n * means, 0) / HW
        away = means - mean[None, :]
        rate = 1.0 / tl.sqrt((tl.sum(squares, 0) + tl.sum(n * away * away, 0)) / HW + eps)
    g = tl.full((BC,), 1.0, tl.float32)
    shift = tl.zeros((BC,), tl.float32)
    if gamma is not None:
        g = tl.load(gamma + c, mask=inside, other=0.0).to(tl.float32)
    if beta is not None:
        shift = tl.load(beta + c, mask=inside, other=0.0).to(tl.float32)
    return mean, rate, g, shift


@triton.jit
def finish(
    y, image, row, pixel, channel, part, gamma, beta, res, res_image, res_row, res_pixel, out, out_image, out_row,
    out_pixel, H, W, C, CO, SPLIT, slope, eps, P: tl.constexpr, MODE: tl.constexpr, NORM: tl.constexpr,
    HAS: tl.constexpr, SP: tl.constexpr, TILES: tl.constexpr, R: tl.constexpr,
    BC: tl.constexpr,
):  # fmt: skip
    """Out = pad(activation(norm(y)) + res); channels from C to CO of it are zeros."""
    t, k, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)  # axes 1 and 2 end at 65,535
    c = k * BC + tl.arange(0, BC)
    inside = c < C
    mean, rate, g, shift = _affine(part, gamma, beta, b, c, inside, H * W, C, SPLIT, eps, NORM, SP, BC)
    HO = H + 2 * P
    WO = W + 2 * P
    for n in range(TILES):
        o = (t * TILES + n) * R + tl.arange(0, R)
        i = o // WO - P
        j = o % WO - P
        here = o < HO * WO
        if MODE == 1:
            i = tl.where(i < 0, -i, i)
            i = tl.where(i >= H, 2 * H - 2 - i, i)
            j = tl.where(j < 0, -j, j)
            j = tl.where(j >= W, 2 * W - 2 - j, j)
            seen = here
        else:
            seen = here & (i >= 0) & (i < H) & (j >= 0) & (j < W)
        mask = seen[:, None] & inside[None, :]
        v = _read(y + b.to(tl.int64) * image, i, j, c, row, pixel, channel, mask)
        v = (v - mean[None, :]) * rate[None, :] * g[None, :] + shift[None, :]
        v = tl.where(v > 0, v, v * slope)
        if HAS:
            v += _read(res + b.to(tl.int64) * res_image, i, j, c, res_row, res_pixel, 1, mask)
        v = tl.where(mask, v, 0.0)
        written = here[:, None] & (c < CO)[None, :]
        _write(out + b.to(tl.int64) * out_image, o // WO, o % WO, c, out_row, out_pixel, v, written)


@triton.jit
def _mirrored(i, H, P: tl.constexpr, SIDE: tl.constexpr):
    """Row of the padded image that shows row i: itself (0), by the mirror before (1) or behind (2); and whether."""
    if SIDE == 0:
        return i + P, i >= 0
    elif SIDE == 1:
        return P - i, (i >= 1) & (i <= P)
    else:
        return 2 * H - 2 - i + P, (i >= H - 1 - P) & (i <= H - 2)


@triton.jit
def _folded(grad, g_row, g_pixel, inner, h_row, h_pixel, i, j, c, mask, H, W, P: tl.constexpr, MODE: tl.constexpr,
            SMALL: tl.constexpr, INNER: tl.constexpr):  # fmt: skip
    """The gradient of pixel (i, j): of its own place, of those that mirror it, and what reached it without padding."""
    v = _read(grad, i + P, j + P, c, g_row, g_pixel, 1, mask)
    if MODE == 1:
        if SMALL:  # a row may be mirrored at both ends
            for n in tl.static_range(1, 9):
                ii, here = _mirrored(i, H, P, n // 3)
                jj, there = _mirrored(j, W, P, n % 3)
                v += _read(grad, ii, jj, c, g_row, g_pixel, 1, mask & (here & there)[:, None])
        else:
            top, is_top = _mirrored(i, H, P, 1)
            bottom, is_bottom = _mirrored(i, H, P, 2)
            left, is_left = _mirrored(j, W, P, 1)
            right, is_right = _mirrored(j, W, P, 2)
            ii, here = tl.where(is_top, top, bottom), is_top | is_bottom
            jj, there = tl.where(is_left, left, right), is_left | is_right
            v += _read(grad, ii, j + P, c, g_row, g_pixel, 1, mask & here[:, None])
            v += _read(grad, i + P, jj, c, g_row, g_pixel, 1, mask & there[:, None])
            v += _read(grad, ii, jj, c, g_row, g_pixel, 1, mask & (here & there)[:, None])
    if INNER:
        v += _read(inner, i, j, c, h_row, h_pixel, 1, mask)
    return v


@triton.jit
def gradient_sums(
    grad, g_image, g_row, g_pixel, inner, h_image, h_row, h_pixel, y, image, row, pixel, channel, part, gamma, beta,
    sums, kept, k_image, k_row, k_pixel, H, W, C, CK, SPLIT, slope, eps, P: tl.constexpr, MODE: tl.constexpr,
    SMALL: tl.constexpr, INNER: tl.constexpr, NORM: tl.constexpr,
    KEEP: tl.constexpr, SP: tl.constexpr, R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Sums of d and of d * n over each share of the pixels, sums (b, SPLIT, 2, C).

    n = (y - mean) * rate, d the gradient of n's affine image. `kept` gets, with KEEP 1, the gradient in front of the
    activation's sum with the residual, which is the residual's own; with KEEP 2, d, in channels up to CK, zeros beyond
    C.
    """
    b, k, s = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    c = k * BC + tl.arange(0, BC)
    inside = c < C
    mean, rate, g, shift = _affine(part, gamma, beta, b, c, inside, H * W, C, SPLIT, eps, NORM, SP, BC)
    share = tl.cdiv(H * W, SPLIT)
    low = s * share
    high = tl.minimum(low + share, H * W)
    one = tl.zeros((R, BC), tl.float32)
    two = tl.zeros((R, BC), tl.float32)
    for start in range(low, high, R):
        o = start + tl.arange(0, R)
        i = o // W
        j = o % W
        here = o < high
        mask = here[:, None] & inside[None, :]
        n = _read(y + b.to(tl.int64) * image, i, j, c, row, pixel, channel, mask)
        n = (n - mean[None, :]) * rate[None, :]
        f = _folded(
            grad + b.to(tl.int64) * g_image, g_row, g_pixel, inner + b.to(tl.int64) * h_image, h_row, h_pixel, i, j, c,
            mask, H, W, P, MODE, SMALL, INNER,
        )  # fmt: skip
        if KEEP == 1:
            _write(kept + b.to(tl.int64) * k_image, i, j, c, k_row, k_pixel, f, mask)
        d = tl.where(mask, tl.where(n * g[None, :] + shift[None, :] > 0, f, f * slope), 0.0)
        if KEEP == 2:
            written = here[:, None] & (c < CK)[None, :]
            _write(kept + b.to(tl.int64) * k_image, i, j, c, k_row, k_pixel, d, written)
        one += d
        two += d * n
    out = sums + ((b * SPLIT + s) * 2) * C + c
    tl.store(out, tl.sum(one, 0), mask=inside)
    tl.store(out + C, tl.sum(two, 0), mask=inside)


@triton.jit
def gradient(
    grad, g_image, g_row, g_pixel, inner, h_image, h_row, h_pixel, y, image, row, pixel, channel, part, gamma, beta,
    sums, out, out_image, out_row, out_pixel, H, W, C, CO, SPLIT, slope, eps, P: tl.constexpr, MODE: tl.constexpr,
    SMALL: tl.constexpr, INNER: tl.constexpr, NORM: tl.constexpr,
    SP: tl.constexpr, TILES: tl.constexpr, R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Out = rate * gamma * (d - mean(d) - n * mean(d * n)): the gradient through InstanceNorm; without a norm, d.

    Channels from C to CO of it are zeros.
    """
    t, k, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)  # axes 1 and 2 end at 65,535
    c = k * BC + tl.arange(0, BC)
    inside = c < C
    HW = H * W
    mean, rate, g, shift = _affine(part, gamma, beta, b, c, inside, HW, C, SPLIT, eps, NORM, SP, BC)
    one = tl.zeros((BC,), tl.float32)
    two = tl.zeros((BC,), tl.float32)
    if NORM:
        s = tl.arange(0, SP)
        at = sums + ((b * SPLIT + s) * 2)[:, None] * C + c[None, :]
        of_share = (s < SPLIT)[:, None] & inside[None, :]
        one = tl.sum(tl.load(at, mask=of_share, other=0.0), 0) / HW
        two = tl.sum(tl.load(at + C, mask=of_share, other=0.0), 0) / HW
    for m in range(TILES):
        o = (t * TILES + m) * R + tl.arange(0, R)
        i = o // W
        j = o % W
        here = o < HW
        mask = here[:, None] & inside[None, :]
        n = _read(y + b.to(tl.int64) * image, i, j, c, row, pixel, channel, mask)
        n = (n - mean[None, :]) * rate[None, :]
        f = _folded(
            grad + b.to(tl.int64) * g_image, g_row, g_pixel, inner + b.to(tl.int64) * h_image, h_row, h_pixel, i, j, c,
            mask, H, W, P, MODE, SMALL, INNER,
        )  # fmt: skip
        d = tl.where(n * g[None, :] + shift[None, :] > 0, f, f * slope)
        d = (rate * g)[None, :] * (d - one[None, :] - n * two[None, :])
        d = tl.where(mask, d, 0.0)
        written = here[:, None] & (c < CO)[None, :]
        _write(out + b.to(tl.int64) * out_image, i, j, c, out_row, out_pixel, d, written)
