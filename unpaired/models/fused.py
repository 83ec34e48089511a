"""The fast form of a chain of layers on a CPU: activation, reflection, convolution and InstanceNorm as one unit.

Everything stays in channels_last. The backward pass is written by hand: it keeps what the unit was given and what it
gave, where the layers one by one keep every value between them, and computes activation and reflection anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import leaky_relu

from unpaired.models.columns import from_image_gradient, to_image, to_image_gradients
from unpaired.models.direct import Gradients, direct_gradients
from unpaired.models.patches import Convolution, by_patches, by_patches_gradients
from unpaired.models.winograd import Tiles, tiles_for

aten = torch.ops.aten
THIN = 4
"""Up to as many channels, images rather than features, a 7x7 convolution is computed by its columns."""


class Layers(nn.Sequential):
    """A chain of layers; once `fuse` was called, the same maths in units, rounded in another order."""

    fused = False

    def forward(self, input: Tensor, after: int = 0) -> Tensor:
        """The layers behind the first `after`, one after another."""
        layers = list(self)[after:]
        for layer in units(layers) if self.fused else layers:
            input = layer(input)
        return input


def fuse(network: nn.Module) -> None:
    """From now on every chain of layers in the network runs in units."""
    for module in network.modules():
        if isinstance(module, Layers):
            module.fused = True


def units(layers: list[nn.Module]) -> Iterator[Callable[[Tensor], Tensor]]:
    """The chain with every convolution joined to what goes with it; what belongs to none stays as it is."""
    layers = [inner for layer in layers for inner in (layer if isinstance(layer, Layers) else [layer])]
    k = 0
    while k < len(layers):
        end, unit = _unit(layers, k)
        yield unit or _apart(layers[k])
        k = end


def _unit(layers: list[nn.Module], k: int) -> tuple[int, Unit | None]:
    """The unit that begins at layer k, if one does, and where the next begins."""
    end, slope, reflect = k, 1.0, 0
    if isinstance(layers[end], (nn.ReLU, nn.LeakyReLU)):
        slope, end = _slope(layers[end]), end + 1
    pad, conv, norm = (*layers[end : end + 3], None, None, None)[:3]
    if isinstance(pad, nn.ReflectionPad2d):
        reflect, end = int(pad.padding[0]), end + 1
    else:
        conv, norm = pad, conv
    if not isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)) or conv.groups > 1:
        return k + 1, None
    if not isinstance(norm, nn.InstanceNorm2d):
        return end + 1, Unit(conv, slope, reflect, None)
    return end + 2, Unit(conv, slope, reflect, norm.eps)


def _slope(activation: nn.Module) -> float:
    """What it multiplies negative values by."""
    return activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0


def _apart(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """A layer outside units; activations never in place, since a unit may have kept what they are given."""
    if isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
        return lambda x: leaky_relu(x, _slope(layer))
    return layer


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
        conv = self.conv
        with torch.autocast(x.device.type, enabled=False):
            return _Unit.apply(x, conv.weight, conv.bias, self)  # pyright: ignore[reportReturnType]

    def prepared(self, x: Tensor) -> Tensor:
        """What the convolution sees."""
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
    weight = weight.to(x.dtype)
    return to_image(x, weight) if _is_wide(conv) and conv.out_channels <= THIN else by_patches(x, weight, conv)


def gradients(conv: Convolution, grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> Gradients:
    """Of `convolve`, for x and for the weight, each if wanted."""
    if tiles := _tiles(conv, x, weight):
        for_x, for_weight = tiles.gradients(grad.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1), weight, wanted)
        return None if for_x is None else for_x.permute(0, 3, 1, 2), for_weight
    half = weight.to(x.dtype)
    if _is_wide(conv) and conv.out_channels <= THIN:
        for_x, for_weight = to_image_gradients(grad, x, half, wanted)
    elif _is_wide(conv) and conv.in_channels <= THIN and wanted[0]:
        for_x = from_image_gradient(grad, x, half)
        for_weight = direct_gradients(grad, x, half, (False, wanted[1]), conv)[1]
    else:
        for_x, for_weight = by_patches_gradients(grad, x, half, wanted, conv)
    return for_x, None if for_weight is None else for_weight.to(weight.dtype)


def _is_wide(conv: Convolution) -> bool:
    """Whether it is a square kernel of five or more pixels, stride 1 and no padding of its own."""
    k = conv.kernel_size
    return k[0] == k[1] >= 5 and _is_plain(conv)


def _is_plain(conv: Convolution) -> bool:
    return not conv.transposed and conv.stride == (1, 1) and conv.padding == (0, 0)


def _tiles(conv: Convolution, x: Tensor, weight: Tensor) -> Tiles | None:
    if conv.kernel_size != (3, 3) or not _is_plain(conv):
        return None
    return tiles_for(x.permute(0, 2, 3, 1), weight)
