"""How a chain of layers is carried out: steps on numbered values, each freed after its last use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from unpaired.models.trace import Operation

Convolution = nn.Conv2d | nn.ConvTranspose2d
Operations = Sequence[Operation | None]


@dataclass(frozen=True)
class Step:
    """One or several layers computed at once: `work` makes the values numbered `targets` from those of `sources`."""

    work: Callable[..., Tensor | tuple[Tensor, ...]]
    sources: tuple[int, ...]
    targets: tuple[int, ...]


class Plan:
    """The forward pass of a chain of layers, as steps."""

    def __init__(self, steps: Sequence[Step], result: int) -> None:
        self.steps, self.result = list(steps), result
        last = {source: k for k, step in enumerate(self.steps) for source in step.sources}
        self.done = [
            [n for n in dict.fromkeys((*step.sources, *step.targets)) if last.get(n, k) == k and n != result]
            for k, step in enumerate(self.steps)
        ]
        """Values that no step after this one needs."""

    def __call__(self, input: Tensor) -> Tensor:
        """The result for one input, which is value 0."""
        return self.run({0: input})

    def run(self, given: Mapping[int, Tensor]) -> Tensor:
        """The result for the values of these numbers, in the precision of value 0."""
        values = dict(given)
        with torch.autocast(values[0].device.type, enabled=False):
            for step, done in zip(self.steps, self.done, strict=True):
                found = step.work(*[values[n] for n in step.sources])
                values.update(zip(step.targets, found if isinstance(found, tuple) else (found,), strict=True))
                for n in done:
                    del values[n]
        return values[self.result]


@dataclass(frozen=True)
class Plain:
    """A layer as torch computes it, never in place: a unit may have kept its input."""

    layer: Callable[..., Tensor]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """In the precision of the inputs, whatever that of the layer's own tensors."""
        x, layer = inputs[0], self.layer
        if isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
            return leaky_relu(x, slope_of(layer))
        has_tensors = (
            isinstance(layer, nn.Module) and next(chain(layer.parameters(), layer.buffers()), None) is not None
        )
        if x.dtype not in (torch.bfloat16, torch.float16) or not has_tensors:
            return layer(*inputs)
        with torch.autocast(x.device.type, x.dtype, cache_enabled=False):  # another thread would use or empty a cache
            return layer(*inputs)


def users(operations: Operations) -> list[list[int]]:
    """For every value, the operations that read it; the result is read by one more, of number len(operations)."""
    found: list[list[int]] = [[] for _ in operations]
    for number, operation in enumerate(operations):
        for source in operation.sources if operation else ():
            found[source].append(number)
    found[-1].append(len(operations))
    return found


def settings(conv: Convolution) -> tuple[Any, ...]:
    """Stride, padding, dilation, whether transposed, output padding and groups, as aten's convolutions take them."""
    return conv.stride, conv.padding, conv.dilation, conv.transposed, conv.output_padding, conv.groups


def slope_of(activation: nn.ReLU | nn.LeakyReLU) -> float:
    """The factor of negative values."""
    return activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0


def is_convolution(layer: object) -> TypeGuard[Convolution]:
    """Whether it is one that the units compute: of all channels, zeros beyond the border."""
    if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) or isinstance(layer.padding, str):
        return False
    return layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"


def is_instance_norm(layer: object) -> TypeGuard[nn.InstanceNorm2d]:
    """Whether it is one without running statistics."""
    return isinstance(layer, nn.InstanceNorm2d) and not layer.track_running_stats


def even_padding(layer: object) -> tuple[str, int] | None:
    """Mode and width of a layer that pads every side alike in a mode that the units support, else None."""
    if isinstance(layer, (nn.ReflectionPad2d, nn.ZeroPad2d)) and len(set(layer.padding)) == 1:
        return "zero" if isinstance(layer, nn.ZeroPad2d) else "reflect", int(layer.padding[0])
    return None
