"""k x k convolutions from or to an image, whose three channels leave a chip's vectors nearly empty.

The kernel's k columns become channels: a k x 1 convolution over k times as many channels does the multiplications,
shifted sums of thin slices the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unpaired.models.kernels.cpu.direct import direct, direct_gradients


def to_image(x: Tensor, weight: Tensor) -> Tensor:
    """conv2d(x, weight) for a weight (o, c, k, k) with few outputs o."""
    o, _, k, _ = weight.shape
    z = direct(x, _by_output(weight))
    n = z.shape[3] - k + 1
    return torch.stack([z[:, j * o : (j + 1) * o, :, j : j + n] for j in range(k)]).sum(0)


def to_image_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Of `to_image`, for x and for the weight, each if wanted."""
    o, c, k, _ = weight.shape
    b, _, h, n = grad.shape
    spread = torch.zeros(b, h, n + k - 1, k * o, dtype=grad.dtype, device=grad.device).permute(0, 3, 1, 2)
    for j in range(k):
        spread[:, j * o : (j + 1) * o, :, j : j + n] = grad
    for_x, columns = direct_gradients(spread, x, _by_output(weight), wanted)
    return for_x, None if columns is None else columns.view(k, o, c, k).permute(1, 2, 3, 0)


def from_image_gradient(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Of conv2d(x, weight) for x of few channels c and a weight (o, c, k, k)."""
    o, c, k, _ = weight.shape
    b, _, height, width = x.shape
    n = width - k + 1
    columns = x.new_empty(b, height, n, k * c).permute(0, 3, 1, 2)  # only its shape is asked for
    parts, _ = direct_gradients(grad, columns, weight.permute(0, 3, 1, 2).reshape(o, k * c, k, 1), (True, False))
    assert parts is not None
    for_x = torch.zeros_like(x)
    for j in range(k):
        for_x[..., j : j + n] += parts[:, j * c : (j + 1) * c]
    return for_x


def _by_output(weight: Tensor) -> Tensor:
    """(o, c, k, k) to (k o, c, k, 1): one output per column of the kernel."""
    o, c, k, _ = weight.shape
    return weight.permute(3, 0, 1, 2).reshape(k * o, c, k, 1)
