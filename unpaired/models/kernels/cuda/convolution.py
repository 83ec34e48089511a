"""Convolutions in low precision of weights that stay in fp32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unpaired.models.kernels.cuda.units import aligned
from unpaired.models.kernels.plan import Convolution, settings

aten = torch.ops.aten


@dataclass(frozen=True)
class Convolve:
    """A convolution without its bias."""

    conv: Convolution

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """In the precision of `weight`, a copy of the layer's own that may have more channels, all zeros, or itself."""
        return _Convolve.apply(x.to(weight.dtype), self.conv.weight, weight, self.conv)  # pyright: ignore[reportReturnType]


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, copy: Tensor, conv: Convolution) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.shape, ctx.dtype, ctx.settings = weight.shape, weight.dtype, settings(conv)
        ctx.save_for_backward(x, copy)
        return aten.convolution(x, copy, None, *ctx.settings)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, copy = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        wanted = [*ctx.needs_input_grad[:2], False]
        for_x, for_weight, _ = aten.convolution_backward(grad, x, copy, None, *ctx.settings, wanted)
        if for_weight is not None:
            for_weight = for_weight[: ctx.shape[0], : ctx.shape[1]].to(ctx.dtype)
        return for_x, for_weight, None, None


class Weights:
    """Copies in low precision of the weights of some convolutions, made by one call for nearly all of them."""

    def __init__(self, convolutions: Sequence[Convolution], precision: torch.dtype) -> None:
        self.convolutions, self.precision = list(convolutions), precision
        self.copies: list[Tensor] = []
        """In the same places of memory from the first `held` on."""
        self.holds = False

    @torch.no_grad()
    def current(self) -> list[Tensor]:
        """The copies, or the weights themselves where these have the precision."""
        weights = [conv.weight for conv in self.convolutions]
        if self.holds:
            return self.copies
        if self.precision == torch.float32:
            return [weight.detach() for weight in weights]
        return _copied(weights, [_empty(weight, self.precision) for weight in weights])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, the copies are those of the entry."""
        if self.holds or self.precision == torch.float32:
            yield
            return
        with torch.no_grad(), torch.inference_mode(False):
            weights = [conv.weight.detach() for conv in self.convolutions]
            if not self.copies or self.copies[0].device != weights[0].device:
                self.copies = [_empty(weight, self.precision) for weight in weights]
            _copied(weights, self.copies)
        self.holds = True
        try:
            yield
        finally:
            self.holds = False


def _empty(weight: Tensor, precision: torch.dtype) -> Tensor:
    """Of the weight's shape and layout; channels of images are filled up with zeros."""
    if min(weight.shape[:2]) >= aligned(0):
        return torch.empty_like(weight, dtype=precision)
    shape = (aligned(weight.shape[0]), aligned(weight.shape[1]), *weight.shape[2:])
    zeros = torch.zeros(shape, dtype=precision, device=weight.device)
    return zeros.contiguous(memory_format=torch.channels_last)


def _copied(weights: Sequence[Tensor], copies: list[Tensor]) -> list[Tensor]:
    pairs = list(zip(copies, weights, strict=True))
    alike = [(copy, weight) for copy, weight in pairs if copy.shape == weight.shape]
    if alike:  # tensors of other strides would make the call copy one after another
        aten._foreach_copy_.default([copy for copy, _ in alike], [weight for _, weight in alike])
    for copy, weight in pairs:
        if copy.shape != weight.shape:
            copy[: weight.shape[0], : weight.shape[1]].copy_(weight)
    return copies
