"""A generator as a list of steps on planes, so that any box of any plane can be computed from what it needs alone.

The network is traced, never altered: its own layers and weights are used, each by its spatial rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unpaired.core.errors import BadInput
from unpaired.inference.padding import padding, padding_mode
from unpaired.models import Generator
from unpaired.models.spatial import NORMS, Box, Normalise, Pad, Rule, Size, UnknownLayer, rules_of
from unpaired.models.trace import Untraceable, trace


@dataclass(frozen=True)
class Step:
    """One plane of the network: what it is made of and how."""

    operation: Rule | None
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
    """The network on an image of `size`, padded to sides that it takes; BadInput for a layer without spatial rule."""
    steps = [Step(None, (), size, channels)]
    below, beside = (padding(side, network.size_multiple, network.min_size) for side in size)
    if below or beside:
        _add(steps, Pad((0, 0), (below, beside), padding_mode(size, (below, beside))), [0])
    planes = [len(steps) - 1]
    try:
        for operation in trace(network, keep_identities=True)[1:]:
            assert operation is not None
            planes.append(_lower(operation.work, [planes[source] for source in operation.sources], steps))
    except UnknownLayer as error:
        raise BadInput(f"tiling does not know the layer {error} of this network; translate it whole") from error
    except Untraceable as error:
        raise BadInput(f"tiling cannot follow this network ({error}); translate it whole") from error
    return steps


def _lower(work: Callable[..., Tensor], sources: list[int], steps: list[Step]) -> int:
    """Append the steps of a layer applied to planes; returns the plane it gives."""
    if isinstance(work, NORMS):
        steps[sources[0]] = replace(steps[sources[0]], keep=True)
    for rule in rules_of(work):
        sources = [_add(steps, rule, sources, keep=work is torch.add)]
    return sources[0]


def normalised(steps: list[Step]) -> list[int]:
    """Numbers of the planes whose statistics some InstanceNorm needs, in order."""
    return sorted({step.sources[0] for step in steps if isinstance(step.operation, Normalise)})


def _add(steps: list[Step], rule: Rule, sources: list[int], keep: bool = False) -> int:
    height, width = steps[sources[0]].size
    size, channels = (rule.side(height, 0), rule.side(width, 1)), rule.channels([steps[n].channels for n in sources])
    steps.append(Step(rule, tuple(sources), size, channels, keep))
    return len(steps) - 1


def evaluate(
    steps: list[Step], target: int, box: Box, known: Callable[[int, Box], Tensor | None], statistics: Statistics
) -> Tensor:
    """The box of plane `target`, (1, c, h, w), from known planes and all in between; InstanceNorms use `statistics`.

    `known` gives the box of a plane that needs no computing: the image, and kept ones; None for the others.
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
