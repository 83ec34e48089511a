"""The fast form of a chain of layers on a CPU: activation, reflection, convolution and InstanceNorm as one unit.

Everything stays in channels_last. The backward pass is written by hand: it keeps what the unit was given and what it
gave, where the layers one by one keep every value between them, and recomputes activation and reflection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import leaky_relu

from unpaired.models.kernels.cpu.patches import Gradients, by_patches, by_patches_gradients
from unpaired.models.kernels.cpu.winograd import Tiles, tiles_for
from unpaired.models.kernels.plan import (
    Convolution,
    Operations,
    Plain,
    Plan,
    Step,
    even_padding,
    is_convolution,
    is_instance_norm,
    slope_of,
    users,
)
from unpaired.models.trace import Operation

aten = torch.ops.aten


def plan(operations: Operations) -> Plan:
    """The chain with every convolution joined to what stands around it; other layers stay as they are."""
    readers = users(operations)

    def read_once(number: int) -> Operation | None:
        return operations[number] if len(readers[number]) == 1 else None

    steps = {n: Step(Plain(each.work), each.sources, (n,)) for n, each in enumerate(operations) if each is not None}
    for number, operation in enumerate(operations):
        conv = operation.work if operation else None
        if operation is None or not is_convolution(conv):
            continue
        joined, source, slope, reflect, eps = [number], operation.sources[0], 1.0, 0, None
        if (before := read_once(source)) and (padding := even_padding(before.work)) and padding[0] == "reflect":
            joined.append(source)
            source, reflect = before.sources[0], padding[1]
        if (before := read_once(source)) and isinstance(before.work, (nn.ReLU, nn.LeakyReLU)):
            joined.append(source)
            source, slope = before.sources[0], slope_of(before.work)
        after = operations[readers[number][0]] if len(readers[number]) == 1 and number + 1 < len(operations) else None
        if after and is_instance_norm(after.work) and not after.work.affine:
            joined.append(readers[number][0])
            eps = after.work.eps
        for each in joined:
            del steps[each]
        steps[number] = Step(Unit(conv, slope, reflect, eps), (source,), (max(joined),))
    return Plan([steps[number] for number in sorted(steps)], len(operations) - 1)


@dataclass(frozen=True)
class Unit:
    """norm(conv(reflect(activation(x))))."""

    conv: Convolution
    slope: float
    """Of the activation below zero: 0 for ReLU, 0.2 for the discriminators', 1 for none."""
    reflect: int
    """Pixels reflected at each side."""
    eps: float | None
    """Added to the variance by InstanceNorm; None without a norm."""

    def __call__(self, x: Tensor) -> Tensor:
        """(b, c, h, w) to (b, k, h', w'), in the precision of x whatever that of the weights."""
        return _Unit.apply(x, self.conv.weight, self.conv.bias, self)  # pyright: ignore[reportReturnType]

    def prepared(self, x: Tensor) -> Tensor:
        """The input of the convolution."""
        x = x.contiguous(memory_format=torch.channels_last)
        active = x if self.slope == 1 else leaky_relu(x, self.slope)
        return aten.reflection_pad2d(active, [self.reflect] * 4) if self.reflect else active

    def unprepared(self, grad: Tensor, x: Tensor) -> Tensor:
        """The gradient for x, given that of `prepared(x)`."""
        if self.reflect:
            grad = aten.reflection_pad2d_backward(grad, x, [self.reflect] * 4)
        return grad if self.slope == 1 else aten.leaky_relu_backward(grad, x, self.slope, False)


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None, unit: Unit) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        y = convolve(unit.conv, unit.prepared(x), weight)
        rates = None
        if unit.eps is not None:  # the bias goes with the mean that the norm takes off: it changes nothing
            rates = normalise_(y, unit.eps)
        elif bias is not None:
            y += bias.to(y.dtype)[:, None, None]
        ctx.unit, ctx.bias = unit, bias is not None  # pyright: ignore[reportAttributeAccessIssue]
        ctx.save_for_backward(x, weight, *([] if rates is None else [y, rates]))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        unit: Unit = ctx.unit
        x, weight, *normed = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        for_bias = None
        if ctx.needs_input_grad[2]:
            for_bias = grad.new_zeros(grad.shape[1]) if normed else grad.sum((0, 2, 3), dtype=weight.dtype)
            for_bias = for_bias.to(weight.dtype)
        if normed:
            grad = norm_gradient(grad, *normed)
        x = x.contiguous(memory_format=torch.channels_last)
        for_input, for_weight = gradients(unit.conv, grad, unit.prepared(x), weight, ctx.needs_input_grad[:2])
        for_x = None if for_input is None else unit.unprepared(for_input, x)
        return for_x, for_weight, for_bias, None


def normalise_(y: Tensor, eps: float) -> Tensor:
    """InstanceNorm in place; returns 1 / sqrt(variance + eps), (b, c). Image by image, which keeps channels_last.

    Given scales of one in fp32, torch keeps mean and rate of a bf16 image in fp32, too; else it rounds both to bf16.
    """
    one = y.new_ones(y.shape[1], dtype=torch.promote_types(y.dtype, torch.float32))
    rates, mean = one.new_empty(y.shape[:2]), torch.empty_like(one)
    for image, rate in zip(y.split(1), rates, strict=True):
        kept = {"out": image, "save_mean": mean, "save_invstd": rate}
        aten.native_batch_norm.out(image, one, None, None, None, True, 0.0, eps, **kept)
    return rates


def norm_gradient(grad: Tensor, y: Tensor, rates: Tensor) -> Tensor:
    """Rate * (g - mean(g) - y mean(g y)): the gradient through InstanceNorm, from what it gave."""
    zero, one = torch.zeros_like(rates[0]), torch.ones_like(rates[0])
    parts = [
        aten.native_batch_norm_backward(g, image, rate, None, None, zero, one, True, 0.0, [True, False, False])[0]
        for g, image, rate in zip(grad.split(1), y.split(1), rates, strict=True)
    ]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def convolve(conv: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    """The convolution without its bias, by whatever sum is fastest."""
    if tiles := _tiles(conv, x, weight):
        return tiles.convolve(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)
    return by_patches(x, weight.to(x.dtype), conv)


def gradients(conv: Convolution, grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> Gradients:
    """Of `convolve`, for x and for the weight, each if wanted."""
    if tiles := _tiles(conv, x, weight):
        for_x, for_weight = tiles.gradients(grad.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1), weight, wanted)
        return None if for_x is None else for_x.permute(0, 3, 1, 2), for_weight
    for_x, for_weight = by_patches_gradients(grad, x, weight.to(x.dtype), wanted, conv)
    return for_x, None if for_weight is None else for_weight.to(weight.dtype)


def _tiles(conv: Convolution, x: Tensor, weight: Tensor) -> Tiles | None:
    is_plain = not conv.transposed and conv.stride == (1, 1) and conv.padding == (0, 0)
    if conv.kernel_size != (3, 3) or not is_plain:
        return None
    return tiles_for(x.permute(0, 2, 3, 1), weight)
