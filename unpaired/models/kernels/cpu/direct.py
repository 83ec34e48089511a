"""torch's own convolution and its gradients, called apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Gradients = tuple[Tensor | None, Tensor | None]
"""For the input and for the weight."""


def geometry(conv: nn.Conv2d | nn.ConvTranspose2d | None) -> tuple[Sequence[int], Sequence[int], bool, Sequence[int]]:
    """Stride, padding, whether transposed, output padding; of a plain convolution if None."""
    if conv is None:
        return (1, 1), (0, 0), False, (0, 0)
    assert not isinstance(conv.padding, str)
    return conv.stride, conv.padding, conv.transposed, conv.output_padding


def direct(x: Tensor, weight: Tensor, conv: nn.Conv2d | nn.ConvTranspose2d | None = None) -> Tensor:
    """The convolution of x, with the stride and padding of `conv`, without bias."""
    stride, padding, transposed, extra = geometry(conv)
    return torch.ops.aten.convolution(x, weight, None, stride, padding, (1, 1), transposed, extra, 1)


def direct_gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    wanted: tuple[bool, bool],
    conv: nn.Conv2d | nn.ConvTranspose2d | None = None,
) -> Gradients:
    """Of `direct`, each if wanted."""
    stride, padding, transposed, extra = geometry(conv)
    settings = (None, stride, padding, (1, 1), transposed, extra, 1)
    for_x, for_weight, _ = torch.ops.aten.convolution_backward(grad, x, weight, *settings, [*wanted, False])
    return for_x, for_weight
