"""A generator as a list of steps on planes, so that any box of any plane can be computed from what it needs alone.

The module is read, never altered: its layers are found by type, and their own weights are used. A step knows the side
of its output, the span of its source that a span of its output needs (borders of the image included), and how to
compute the one from the other. Both axes obey the same rule, so it is written for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from unpaired.core.errors import BadInput
from unpaired.models import Generator
from unpaired.models.layers import BlurDown, BlurUp
from unpaired.models.resnet import ResidualBlock, ResNetGenerator
from unpaired.models.unet import SkipBlock, UNetCore, UNetGenerator

Span = tuple[int, int]
"""From the first to before the last, along one axis."""
Box = tuple[Span, Span]
"""Rows and columns of a plane."""
Size = tuple[int, int]
"""Height and width of a whole plane."""


class Operation(Protocol):
    """What a step does. Axis 0 is down, axis 1 is right."""

    def side(self, n: int, axis: int) -> int:
        """Side of the output for a source of side `n`."""
        ...

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """The part of a source of side `n` that the part `span` of the output is made of."""
        ...

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """The box `wanted` from the box `given` = needs(wanted) of sources whose whole size is `size`."""
        ...


@dataclass(frozen=True)
class Pointwise:
    """Each pixel by itself: activations, sums, concatenation, and norms whose statistics are known."""

    work: Callable[..., Tensor]

    def side(self, n: int, axis: int) -> int:
        """Unchanged."""
        return n

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """The same pixels."""
        return span

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """As the layer does."""
        return self.work(*sources)


@dataclass(frozen=True)
class Normalise:
    """InstanceNorm by statistics of the whole plane, which come from elsewhere."""

    epsilon: float

    def side(self, n: int, axis: int) -> int:
        """Unchanged."""
        return n

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """The same pixels."""
        return span

    def compute(self, sources: list[Tensor], given: Box, wanted: Box, size: Size) -> Tensor:
        """Not without statistics: `evaluate` has them."""
        raise NotImplementedError

    def apply(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """(x - mean) / sqrt(variance + epsilon), each channel by its own (c,) statistics."""
        scale = torch.rsqrt(variance + self.epsilon)
        shift = -mean * scale
        return torch.addcmul(shift.to(x)[:, None, None], x, scale.to(x)[:, None, None])


@dataclass(frozen=True)
class Pad:
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
class Convolve:
    """Any stride, zeros beyond the border."""

    weight: Tensor
    bias: Tensor | None
    stride: Size
    padding: Size
    groups: int = 1

    def side(self, n: int, axis: int) -> int:
        """By the usual formula."""
        return (n + 2 * self.padding[axis] - self.weight.shape[2 + axis]) // self.stride[axis] + 1

    def needs(self, span: Span, n: int, axis: int) -> Span:
        """What lies under the kernels, inside the image."""
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
class Expand:
    """A transposed convolution: output pixel o gets source pixel i through tap o + padding - stride * i."""

    weight: Tensor
    bias: Tensor | None
    stride: Size
    padding: Size
    spare: Size = (0, 0)
    """Rows and columns more at the end than the formula gives (output_padding)."""
    groups: int = 1

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
        x = functional.conv_transpose2d(
            sources[0], self.weight, self.bias, self.stride, 0, self.spare, groups=self.groups
        )
        for axis in (0, 1):
            first = wanted[axis][0] + self.padding[axis] - self.stride[axis] * given[axis][0]
            x = x.narrow(2 + axis, first, wanted[axis][1] - wanted[axis][0])
        return x


@dataclass(frozen=True)
class Double:
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
        x = self.layer(sources[0])
        for axis in (0, 1):
            x = x.narrow(2 + axis, wanted[axis][0] - 2 * given[axis][0], wanted[axis][1] - wanted[axis][0])
        return x


@dataclass(frozen=True)
class Step:
    """One plane of the network: what it is made of and how."""

    operation: Operation | None
    """None for the image itself."""
    sources: tuple[int, ...]
    """Numbers of earlier steps."""
    size: Size
    channels: int
    keep: bool = False
    """Worth keeping once computed: a norm follows (the networks' own stages) or the residual stream passes."""


Statistics = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""Mean and variance, (c,) each, for the InstanceNorm that sees plane `number`, of which (1, c, h, w) is at hand."""


def steps_of(network: Generator, size: Size, channels: int) -> list[Step]:
    """The network on an image of `size`, mirrored out to what it divides by and cut back at the end.

    Raises:
        BadInput: it contains a layer that this file does not know.
    """
    steps = [Step(None, (), size, channels)]
    grow = [max(network.least - side, -side % network.multiple) for side in size]
    if any(grow):
        mode = "reflect" if all(more < side for more, side in zip(grow, size, strict=True)) else "replicate"
        _add(steps, Pad((0, 0), (grow[0], grow[1]), mode), [0], channels)
    _lower(network, len(steps) - 1, steps)
    return steps


def normalised(steps: list[Step]) -> list[int]:
    """Numbers of the planes whose statistics some InstanceNorm needs, in order."""
    return sorted({step.sources[0] for step in steps if isinstance(step.operation, Normalise)})


def _add(steps: list[Step], operation: Operation, sources: list[int], channels: int, keep: bool = False) -> int:
    height, width = steps[sources[0]].size
    size = (operation.side(height, 0), operation.side(width, 1))
    steps.append(Step(operation, tuple(sources), size, channels, keep))
    return len(steps) - 1


def _lower(module: nn.Module, x: int, steps: list[Step]) -> int:
    """Append the steps of `module` applied to plane `x`; returns the plane it gives."""
    channels = steps[x].channels
    if isinstance(module, (ResNetGenerator, UNetGenerator, UNetCore)):
        return _lower(module.model, x, steps)
    if isinstance(module, nn.Sequential):
        for layer in module:
            x = _lower(layer, x, steps)
        return x
    if isinstance(module, ResidualBlock):
        return _add(steps, Pointwise(torch.add), [x, _lower(module.conv_block, x, steps)], channels, keep=True)
    if isinstance(module, SkipBlock):
        active = _lower(module.model[0], x, steps)
        inside = _lower(module.model[1:], active, steps)
        return _add(steps, Pointwise(_beside), [active, inside], channels + steps[inside].channels)
    return _lower_layer(module, x, steps)


def _lower_layer(module: nn.Module, x: int, steps: list[Step]) -> int:
    channels = steps[x].channels
    if isinstance(module, (nn.ReflectionPad2d, nn.ReplicationPad2d)):
        left, right, top, bottom = module.padding
        mode = "reflect" if isinstance(module, nn.ReflectionPad2d) else "replicate"
        return _add(steps, Pad((top, left), (bottom, right), mode), [x], channels)
    if isinstance(module, BlurDown):
        padded = _lower(module.pad, x, steps)
        return _add(steps, Convolve(module.get_buffer("filt"), None, (2, 2), (0, 0), channels), [padded], channels)
    if isinstance(module, BlurUp):  # its padding of 2 and the pixel that it cuts off
        padded = _lower(module.pad, x, steps)
        return _add(steps, Expand(module.get_buffer("filt"), None, (2, 2), (3, 3), groups=channels), [padded], channels)
    if isinstance(module, nn.Conv2d) and module.dilation == (1, 1) and module.groups == 1:
        numbers = _pair(module.stride), _pair(module.padding)
        return _add(steps, Convolve(module.weight, module.bias, *numbers), [x], module.out_channels)
    if isinstance(module, nn.ConvTranspose2d) and module.dilation == (1, 1) and module.groups == 1:
        numbers = _pair(module.stride), _pair(module.padding), _pair(module.output_padding)
        return _add(steps, Expand(module.weight, module.bias, *numbers), [x], module.out_channels)
    if isinstance(module, nn.Upsample):
        return _add(steps, Double(module), [x], channels)
    if isinstance(module, (nn.InstanceNorm2d, nn.BatchNorm2d, nn.Identity)):
        steps[x] = _kept(steps[x])
    if isinstance(module, nn.InstanceNorm2d) and not module.affine and not module.track_running_stats:
        return _add(steps, Normalise(module.eps), [x], channels)
    if isinstance(module, (nn.Identity, nn.Dropout)):
        return x
    if isinstance(module, (nn.BatchNorm2d, nn.LeakyReLU, nn.ReLU, nn.Tanh)):
        return _add(steps, Pointwise(_in_evaluation(module)), [x], channels)
    raise BadInput(f"tiling does not know the layer {type(module).__name__} of this network; translate it whole")


def _kept(step: Step) -> Step:
    return Step(step.operation, step.sources, step.size, step.channels, keep=True)


def _pair(numbers: tuple[Any, ...] | Any) -> Size:
    down, right = numbers if isinstance(numbers, tuple) else (numbers, numbers)
    return int(down), int(right)


def _beside(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([x, y], dim=1)


def _in_evaluation(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """The layer as a function that leaves its argument alone, which may be wanted again."""
    if isinstance(layer, nn.ReLU):
        return torch.relu
    if isinstance(layer, nn.LeakyReLU):
        return lambda x: functional.leaky_relu(x, layer.negative_slope)
    return layer


def evaluate(
    steps: list[Step],
    target: int,
    box: Box,
    known: Callable[[int, Box], Tensor | None],
    statistics: Statistics,
) -> Tensor:
    """The box of plane `target`, (1, c, h, w), from the planes that are known and everything in between.

    Args:
        steps: From `steps_of`.
        target: Number of the step wanted.
        box: Its part wanted.
        known: The box of a plane that needs no computing: the image, and kept ones; None for the others.
        statistics: What each InstanceNorm on the way shall use.
    """
    values: dict[int, tuple[Tensor, Box]] = {}
    wanted = {target: box}
    for number in range(target, -1, -1):  # backwards: which part of which plane
        if number not in wanted:
            continue
        value = None if number == target else known(number, wanted[number])
        if value is not None:
            values[number] = (value, wanted[number])
            continue
        for source in steps[number].sources:
            part = _needs(steps[number], wanted[number], steps[source].size)
            wanted[source] = _around(wanted[source], part) if source in wanted else part
    last_use = {source: n for n in sorted(wanted) if n not in values for source in steps[n].sources}
    for number in sorted(wanted):  # forwards: compute them
        if number not in values:
            values[number] = (_computed(steps, number, wanted[number], values, statistics), wanted[number])
            for source in set(steps[number].sources):
                if last_use[source] == number:
                    del values[source]
    return values[target][0]


def _computed(
    steps: list[Step], number: int, wanted: Box, values: Mapping[int, tuple[Tensor, Box]], statistics: Statistics
) -> Tensor:
    step, size = steps[number], steps[steps[number].sources[0]].size
    given = _needs(step, wanted, size)
    sources = [_part(*values[source], given) for source in step.sources]
    if isinstance(step.operation, Normalise):
        return step.operation.apply(sources[0], *statistics(step.sources[0], sources[0]))
    assert step.operation is not None
    return step.operation.compute(sources, given, wanted, size)


def _needs(step: Step, box: Box, size: Size) -> Box:
    assert step.operation is not None
    return step.operation.needs(box[0], size[0], 0), step.operation.needs(box[1], size[1], 1)


def _around(one: Box, other: Box) -> Box:
    rows, columns = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(one, other, strict=True))
    return rows, columns


def _part(x: Tensor, box: Box, wanted: Box) -> Tensor:
    for axis in (0, 1):
        x = x.narrow(2 + axis, wanted[axis][0] - box[axis][0], wanted[axis][1] - wanted[axis][0])
    return x
