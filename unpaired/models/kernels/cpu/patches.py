"""Convolutions of few pixels and many channels, as the product of two matrices.

torch's convolution first converts the kernel to its own layout; where a map has shrunk to few pixels that takes
longer than the sums. Here every place of the kernel has a row with the patch under it, channels fastest: for such rows
a kernel in channels_last is a matrix in memory. A transposed convolution is the same read backwards: its places are
the pixels it is given. Places are counted over all images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from unpaired.models.kernels.plan import Convolution, settings

aten = torch.ops.aten
Gradients = tuple[Tensor | None, Tensor | None]
"""For the input and for the weight."""
WEIGHTS = {torch.bfloat16: 2048}
"""From so many weights per place on the product is faster; in other precisions from 8192."""
SUMMED = 32
"""Up to so many places it is faster, too, where patches are added up to a map."""


def direct(x: Tensor, weight: Tensor, conv: Convolution) -> Tensor:
    """The convolution by torch, without its bias."""
    return aten.convolution(x, weight, None, *settings(conv))


def direct_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool], conv: Convolution
) -> Gradients:
    """Of `direct`, each if wanted."""
    return aten.convolution_backward(grad, x, weight, None, *settings(conv), [*wanted, False])[:2]


def by_patches(x: Tensor, weight: Tensor, conv: Convolution) -> Tensor:
    """As `direct`, by the product of matrices where that is faster."""
    shape = [len(x), *(_side(x, conv, axis) for axis in (0, 1))]
    places = len(x) * x.shape[2] * x.shape[3] if conv.transposed else math.prod(shape)
    if not _pays(places, weight) or (conv.transposed and places > SUMMED):
        return direct(x, weight, conv)
    return _summed(x, weight, conv, shape) if conv.transposed else _gathered(x, weight, conv)


def by_patches_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool], conv: Convolution
) -> Gradients:
    """As `direct_gradients`, each by the product of matrices where that is faster."""
    few, many = (x, grad) if conv.transposed else (grad, x)
    places = len(few) * few.shape[2] * few.shape[3]
    if not _pays(places, weight):
        return direct_gradients(grad, x, weight, wanted, conv)
    for_x = for_weight = None
    if wanted[0] and conv.transposed:
        for_x = _gathered(grad, weight, conv)
    elif wanted[0] and places <= SUMMED:
        for_x = _summed(grad, weight, conv, [len(x), *x.shape[2:]])
    elif wanted[0]:
        for_x, _ = direct_gradients(grad, x, weight, (True, False), conv)
    if wanted[1]:
        kernels = _pixels(few).T @ _rows(many, conv)[0]
        for_weight = kernels.view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2)
    return for_x, for_weight


def _pays(places: int, weight: Tensor) -> bool:
    return weight.numel() >= places * WEIGHTS.get(weight.dtype, 8192)


def _side(x: Tensor, conv: Convolution, axis: int) -> int:
    """Height (axis 0) or width of the result."""
    side, k, step = x.shape[2 + axis], conv.kernel_size[axis], conv.stride[axis]
    border = 2 * int(conv.padding[axis])
    if conv.transposed:
        return (side - 1) * step - border + k + conv.output_padding[axis]
    return (side + border - k) // step + 1


def _gathered(x: Tensor, weight: Tensor, conv: Convolution) -> Tensor:
    """A value per place, channel and image: (b, k, h', w')."""
    rows, h, w = _rows(x, conv)
    return (rows @ _matrix(weight).T).view(len(x), h, w, -1).permute(0, 3, 1, 2)


def _summed(x: Tensor, weight: Tensor, conv: Convolution, shape: list[int]) -> Tensor:
    """A patch per place, added up where they overlap, in fp32 at least: (b, c, *shape)."""
    (b, height, width), (p, q), (s, t), (k, m) = shape, _borders(conv), conv.stride, conv.kernel_size
    h, w = x.shape[2:]
    patches = (_pixels(x) @ _matrix(weight)).view(b, h, w, k, m, -1)
    total = torch.promote_types(x.dtype, torch.float32)
    whole = patches.new_zeros(b, height + 2 * p, width + 2 * q, patches.shape[-1], dtype=total)
    for i in range(k):
        for j in range(m):
            whole[:, i : i + s * (h - 1) + 1 : s, j : j + t * (w - 1) + 1 : t] += patches[:, :, :, i, j]
    inner = whole[:, p : p + height, q : q + width].permute(0, 3, 1, 2)
    return inner.to(x.dtype).contiguous(memory_format=torch.channels_last)


def _rows(x: Tensor, conv: Convolution) -> tuple[Tensor, int, int]:
    """The patch under every place, (b h' w', k k c), and h' and w'."""
    (p, q), (s, t), (k, m) = _borders(conv), conv.stride, conv.kernel_size
    windows = pad(x.permute(0, 2, 3, 1), (0, 0, q, q, p, p)).unfold(1, k, s).unfold(2, m, t)
    rows = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, k * m * x.shape[1])
    return rows, windows.shape[1], windows.shape[2]


def _borders(conv: Convolution) -> tuple[int, int]:
    """Zeros above and below, left and right."""
    return int(conv.padding[0]), int(conv.padding[1])


def _pixels(x: Tensor) -> Tensor:
    """(b, c, h, w) to (b h w, c)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _matrix(weight: Tensor) -> Tensor:
    """(k, c, h, w) to (k, h w c); of a transposed convolution (c, k, h, w) to (c, h w k)."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
