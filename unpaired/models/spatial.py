"""Spatial rules of layers: which part of its source a part of a plane is made of, and how it is computed from it.

A rule knows the side of its output, the span of its source that a span of its output needs (borders of the image
included), and how to compute the one from the other. Both axes obey the same rule, so it is written for one. Layers of
torch have theirs in `RULES`; a layer of our own gives its own by `spatial_rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getmro
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unpaired.models.trace import beside

Span = tuple[int, int]
"""From the first to before the last, along one axis."""
Box = tuple[Span, Span]
"""Rows and columns of a plane."""
Size = tuple[int, int]
"""Height and width of a whole plane."""


class UnknownLayer(Exception):
    """A layer without a spatial rule."""


class Rule:
    """The spatial rule of a layer, by default one that works pixel by pixel. Axis 0 is down, axis 1 is right."""

    def side(self, n: int, axis: int) -> int:
        """Side of the output for a source of side `n`."""
        return n

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """The part of a source of side `n` that the part `span` of the output is made of."""
        return span

    def channels(self, given: list[int]) -> int:
        """Channels of the output for sources of so many."""
        return given[0]

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """The box `wanted` from the box `given` = needs(wanted) of sources whose whole size is `size`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Pointwise(Rule):
    """Each pixel by itself: activations, sums, concatenation, and norms whose statistics are known."""

    work: Callable[..., Tensor]
    joins: bool = False
    """Whether the channels of the sources are laid beside each other."""

    def channels(self, given: list[int]) -> int:
        """Those of one source, or of all."""
        return sum(given) if self.joins else given[0]

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """As the layer does."""
        return self.work(*sources)


@dataclass(frozen=True)
class Normalise(Rule):
    """InstanceNorm by statistics of the whole plane, which come from elsewhere: `apply` in place of `compute`."""

    epsilon: float

    def apply(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """(x - mean) / sqrt(variance + epsilon), each channel by its own (c,) statistics."""
        scale = torch.rsqrt(variance + self.epsilon)
        shift = -mean * scale
        return torch.addcmul(shift.to(x)[:, None, None], x, scale.to(x)[:, None, None])


@dataclass(frozen=True)
class Pad(Rule):
    """Beyond the border: mirrored without repeating the edge, or the edge repeated."""

    before: Size
    after: Size
    mode: Literal["reflect", "replicate"] = "reflect"

    def side(self, n: int, axis: int) -> int:
        """Grown at both ends."""
        return n + self.before[axis] + self.after[axis]

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """From the first to the last of the source's pixels that are shown."""
        shown = self._shown(span, n, axis)
        return int(shown.min()), int(shown.max()) + 1

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """Rows and columns of the source, picked in order."""
        x = sources[0]
        for axis in (0, 1):
            (start, _), (first, last) = given[axis], wanted[axis]
            if first - self.before[axis] != start or last - self.before[axis] != given[axis][1]:
                shown = self._shown(wanted[axis], size[axis], axis) - start
                x = x.index_select(2 + axis, shown.to(x.device))
        return x

    def _shown(self, span: Span, n: int, axis: int) -> Tensor:
        place = torch.arange(*span) - self.before[axis]
        if self.mode == "replicate":
            return place.clamp(0, n - 1)
        return (n - 1) - ((n - 1) - place.abs()).abs()  # mirrored at 0, then at n - 1


@dataclass(frozen=True)
class Convolve(Rule):
    """Any stride, zeros beyond the border."""

    weight: Tensor
    bias: Tensor | None
    stride: Size
    padding: Size
    groups: int = 1

    def channels(self, given: list[int]) -> int:
        """One for each kernel."""
        return self.weight.shape[0]

    def side(self, n: int, axis: int) -> int:
        """By the usual formula."""
        return (n + 2 * self.padding[axis] - self.weight.shape[2 + axis]) // self.stride[axis] + 1

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """The part of the span that is inside the image."""
        first, last = self._reach(span, axis)
        return max(first, 0), min(last, n)

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """The layer's own weights; zeros only where the true border is."""
        reach = [self._reach(wanted[axis], axis) for axis in (0, 1)]
        missing = [(given[axis][0] - reach[axis][0], reach[axis][1] - given[axis][1]) for axis in (0, 1)]
        x = functional.pad(sources[0], (*missing[1], *missing[0])) if any(map(any, missing)) else sources[0]
        return functional.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)

    def _reach(self, span: Span, axis: int) -> Span:
        stride, pad = self.stride[axis], self.padding[axis]
        return span[0] * stride - pad, (span[1] - 1) * stride - pad + self.weight.shape[2 + axis]


@dataclass(frozen=True)
class Expand(Rule):
    """A transposed convolution: output pixel o gets source pixel i through tap o + padding - stride * i."""

    weight: Tensor
    bias: Tensor | None
    stride: Size
    padding: Size
    spare: Size = (0, 0)
    """Rows and columns more at the end than the formula gives (output_padding)."""
    groups: int = 1

    def channels(self, given: list[int]) -> int:
        """One for each kernel of every group."""
        return self.weight.shape[1] * self.groups

    def side(self, n: int, axis: int) -> int:
        """By the usual formula."""
        wide = (n - 1) * self.stride[axis] + self.weight.shape[2 + axis]
        return wide - 2 * self.padding[axis] + self.spare[axis]

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """Every source pixel that has a tap on the span."""
        last_tap, stride, pad = self.weight.shape[2 + axis] - 1, self.stride[axis], self.padding[axis]
        return max(-((last_tap - span[0] - pad) // stride), 0), min((span[1] - 1 + pad) // stride + 1, n)

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """The layer's own weights; what the neighbours outside `given` would have added is cut off."""
        x = functional.conv_transpose2d(sources[0], self.weight, self.bias, self.stride, 0, self.spare, self.groups)
        return _cut(x, wanted, [self.padding[axis] - self.stride[axis] * given[axis][0] for axis in (0, 1)])


@dataclass(frozen=True)
class Double(Rule):
    """Twice the size by bilinear interpolation, pixel centres kept (align_corners off)."""

    layer: nn.Upsample

    def side(self, n: int, axis: int) -> int:
        """Twice."""
        return 2 * n

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """Half the span and a neighbour at each end."""
        return max(span[0] // 2 - 1, 0), min((span[1] + 1) // 2 + 1, n)

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """The layer on the part; its own border effect falls on the neighbours, which are cut off."""
        return _cut(self.layer(sources[0]), wanted, [-2 * start for start, _ in given])


def _cut(x: Tensor, wanted: Box, offset: list[int]) -> Tensor:
    """The box `wanted`, where pixel 0 of the plane is at `offset` in x."""
    for axis, (first, last) in enumerate(wanted):
        x = x.narrow(2 + axis, first + offset[axis], last - first)
    return x


NORMS = (nn.InstanceNorm2d, nn.BatchNorm2d, nn.Identity)
"""Layers in the place of a norm: what they read is worth keeping."""


def rules_of(work: Callable[..., Tensor]) -> list[Rule]:
    """The spatial rules of a layer in evaluation mode, one after another; none where it changes nothing.

    Raises:
        UnknownLayer: it has none.
    """
    if work is torch.add or work is beside:
        return [Pointwise(work, joins=work is beside)]
    if hasattr(work, "spatial_rules"):
        return work.spatial_rules()  # pyright: ignore[reportFunctionMemberAccess]
    for kind in getmro(type(work)):
        if kind in RULES:
            return RULES[kind](work)
    raise UnknownLayer(type(work).__name__)


def _pad(layer: Any) -> list[Rule]:
    left, right, top, bottom = layer.padding
    return [Pad((top, left), (bottom, right), "reflect" if isinstance(layer, nn.ReflectionPad2d) else "replicate")]


def _convolution(layer: Any) -> list[Rule]:
    if set(layer.dilation) != {1} or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnknownLayer(f"{type(layer).__name__} with dilation {layer.dilation}, padding {layer.padding_mode}")
    numbers = layer.weight, layer.bias, layer.stride, layer.padding
    if isinstance(layer, nn.ConvTranspose2d):
        return [Expand(*numbers, spare=(layer.output_padding[0], layer.output_padding[1]), groups=layer.groups)]
    return [Convolve(*numbers, layer.groups)]


def _instance_norm(layer: Any) -> list[Rule]:
    if layer.affine or layer.track_running_stats:
        raise UnknownLayer("InstanceNorm2d with weights or running statistics")
    return [Normalise(layer.eps)]


RULES: dict[type, Callable[[Any], list[Rule]]] = {
    nn.ReflectionPad2d: _pad,
    nn.ReplicationPad2d: _pad,
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _convolution,
    nn.Upsample: lambda layer: [Double(layer)],
    nn.InstanceNorm2d: _instance_norm,
    nn.BatchNorm2d: lambda layer: [Pointwise(layer)],
    nn.ReLU: lambda layer: [Pointwise(torch.relu)],
    nn.LeakyReLU: lambda layer: [Pointwise(lambda x: functional.leaky_relu(x, layer.negative_slope))],
    nn.Tanh: lambda layer: [Pointwise(torch.tanh)],
    nn.Identity: lambda layer: [],
    nn.Dropout: lambda layer: [],
}
"""The layers of torch that networks here are made of; none works in place, since its source may be read again."""
