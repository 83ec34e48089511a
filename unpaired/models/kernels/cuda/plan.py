"""A chain of layers as convolutions and the units between them.

Every value is drafted first: a convolution's result, then the norm, the activation, the sum and the padding that follow
it, as long as each is the only reader of the one before. The draft becomes a unit where something reads it that no unit
can hold. A sum that is read both with padding and without (the residual stream) becomes one unit with two outputs. A
convolution whose weight is itself computed (spectral norm) runs as torch computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from unpaired.models.kernels.cuda.convolution import Convolve, Weights
from unpaired.models.kernels.cuda.units import Piece, Unit, aligned
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
from unpaired.models.trace import beside


class CudaPlan(Plan):
    """Units and convolutions in `precision`, which are given copies of their weights as the values -1, -2, ...

    Where the result leaves the network (`outermost`), what follows the last convolution is in fp32.
    """

    def __init__(self, operations: Operations, precision: torch.dtype, outermost: bool) -> None:
        planner = _Planner(operations, precision, outermost)
        super().__init__(planner.steps, planner.result)
        self.weights = Weights(planner.convolutions, precision)

    def __call__(self, input: Tensor) -> Tensor:
        """The result for one input."""
        return self.run({0: input} | {-1 - k: copy for k, copy in enumerate(self.weights.current())})

    def held(self) -> AbstractContextManager[None]:
        """Inside, the copies of the weights are those of the entry."""
        return self.weights.held()


@dataclass(frozen=True)
class _Source:
    """A tensor of a draft and what is done to it alone."""

    value: int
    conv: Convolution | None = None
    """The convolution that gave it, still without its bias."""
    norm: nn.InstanceNorm2d | None = None


@dataclass(frozen=True)
class _Draft:
    """pad(activation(sources beside each other) + residual), not computed yet."""

    sources: tuple[_Source, ...]
    slope: float = 1.0
    active: bool = False
    residual: int | None = None
    mode: str = "none"
    pad: int = 0

    @property
    def stage(self) -> int:
        """The last thing in it: 0 a convolution or a norm, 1 the activation, 2 the residual, 3 the padding."""
        return 3 if self.pad else 2 if self.residual is not None else int(self.active)


class _Planner:
    def __init__(self, operations: Operations, precision: torch.dtype, outermost: bool) -> None:
        self.operations, self.precision, self.outermost = operations, precision, outermost
        self.readers = users(operations)
        self.steps: list[Step] = []
        self.convolutions: list[Convolution] = []
        self.drafts: dict[int, _Draft] = {}
        self.values: dict[int, int] = {0: 0}
        """Number of the tensor that holds an operation's result, once it is computed."""
        self.fresh = len(operations)
        self.of_planes = not any(isinstance(each.work, nn.Linear) for each in operations if each is not None)
        """Whether values are (b, c, h, w): a projection head's are vectors, which no unit takes."""
        self.convolved = self._convolved()
        for number, operation in enumerate(operations):
            if operation is not None and number not in self.values:
                self._lower(number, operation.work, operation.sources)
                if len(self.readers[number]) > 1 and number in self.drafts:
                    self._share(number)
        self.result = self._value(len(operations) - 1)

    def _lower(self, number: int, work: Callable[..., Tensor], sources: tuple[int, ...]) -> None:
        padding = even_padding(work)
        if is_convolution(work) and not is_parametrized(work):
            self._convolve(number, work, sources[0])
        elif is_instance_norm(work):
            source = self._bare(sources[0])
            source = source if source.norm is None else _Source(self._value(sources[0]))
            self.drafts[number] = _Draft((replace(source, norm=work),))
        elif isinstance(work, (nn.ReLU, nn.LeakyReLU)) and self.of_planes:
            self.drafts[number] = replace(self._before(1, sources[0]), slope=slope_of(work), active=True)
        elif padding is not None:
            self.drafts[number] = replace(self._before(3, sources[0]), mode=padding[0], pad=padding[1])
        elif work is torch.add:
            self._add(number, sources)
        elif work is beside:
            self.drafts[number] = _Draft(tuple(self._bare(source) for source in sources))
        else:
            values = tuple(self._value(source) for source in sources)
            self.steps.append(Step(Plain(work), values, (number,)))
            self.values[number] = number

    def _convolve(self, number: int, conv: Convolution, source: int) -> None:
        self.convolutions.append(conv)
        value = self._aligned(source) if self._fills(conv.in_channels) else self._value(source)
        self.steps.append(Step(Convolve(conv), (value, -len(self.convolutions)), (self.fresh,)))
        self.drafts[number] = _Draft((_Source(self.fresh, conv),))
        self.fresh += 1

    def _add(self, number: int, sources: tuple[int, ...]) -> None:
        for one, other in (sources[::-1], sources):  # what was computed last is what can still be drafted
            draft = self._open(one)
            if one != other and draft and draft.stage < 2 and len(draft.sources) == 1:
                self.drafts[number] = replace(draft, residual=self._value(other))
                return
        self.drafts[number] = _Draft((_Source(self._value(sources[1])),), residual=self._value(sources[0]))

    def _open(self, number: int) -> _Draft | None:
        """The draft of an operation that nothing else reads."""
        return self.drafts.get(number) if number not in self.values else None

    def _bare(self, number: int) -> _Source:
        """An operation's result as a source that a norm or other sources may follow."""
        draft = self._open(number)
        is_bare = draft and draft.stage == 0 and len(draft.sources) == 1
        return draft.sources[0] if draft and is_bare else _Source(self._value(number))

    def _before(self, stage: int, number: int) -> _Draft:
        """An operation's result as a draft that a later `stage` may follow: its own, or that of its computed value."""
        draft = self._open(number)
        return draft if draft and draft.stage < stage else _Draft((_Source(self._value(number)),))

    def _share(self, number: int) -> None:
        """Compute what several operations read: together with its padding, where one of them pads it."""
        draft = self.drafts[number]
        if draft.pad == 0:
            for reader in self.readers[number]:
                if padding := even_padding(self._work(reader)):
                    self._unit(replace(draft, mode=padding[0], pad=padding[1]), (reader, number))
                    self.values |= {reader: reader, number: number}
                    return
        self._value(number)

    def _value(self, number: int) -> int:
        """The number of the tensor that holds an operation's result, computed by now."""
        if number not in self.values:
            draft = self.drafts[number]
            needed = self._is_needed(draft)
            self.values[number] = number if needed else draft.sources[0].value
            if needed:
                self._unit(draft, (number,))
        return self.values[number]

    def _aligned(self, number: int) -> int:
        """The same with channels filled up, for a convolution alone."""
        self._unit(self._before(4, number), (self.fresh,), aligned=True)
        self.fresh += 1
        return self.fresh - 1

    def _unit(self, draft: _Draft, targets: tuple[int, ...], aligned: bool = False) -> None:
        pieces = tuple(
            Piece(source.conv.out_channels if source.conv else None, source.norm.eps if source.norm else None)
            for source in draft.sources
        )
        dtype = self.precision if aligned or self._is_convolved(targets) else torch.float32
        flags = {"pad": draft.pad, "mode": draft.mode, "inner": len(targets) > 1, "aligned": aligned, "dtype": dtype}
        unit = Unit(pieces, draft.slope, draft.residual is not None, **flags)
        values = [source.value for source in draft.sources] + ([] if draft.residual is None else [draft.residual])
        self.steps.append(Step(_WithLayers(unit, draft.sources), tuple(values), targets))

    def _is_needed(self, draft: _Draft) -> bool:
        """Whether a draft is more than its source."""
        source = draft.sources[0]
        altered = source.conv is not None and (source.conv.bias is not None or self._fills(source.conv.out_channels))
        return draft.stage > 0 or len(draft.sources) > 1 or source.norm is not None or altered

    def _fills(self, channels: int) -> bool:
        """Whether a convolution from or to so many channels is given more."""
        return self.precision != torch.float32 and aligned(channels) != channels

    def _is_convolved(self, targets: tuple[int, ...]) -> bool:
        return not self.outermost or any(n >= len(self.operations) or self.convolved[n] for n in targets)

    def _work(self, number: int) -> Callable[..., Tensor] | None:
        """The layer of an operation; None for the input and for the reader of the result."""
        operation = self.operations[number] if number < len(self.operations) else None
        return operation.work if operation else None

    def _convolved(self) -> list[bool]:
        """For every operation whether some convolution reads its result, or what comes of it."""
        found = [False] * len(self.operations)
        for number in reversed(range(len(self.operations))):
            readers = self.readers[number]
            found[number] = any(is_convolution(self._work(n)) or (n < len(found) and found[n]) for n in readers)
        return found


@dataclass(frozen=True)
class _WithLayers:
    """A unit given the scales and shifts of its layers as they are at the time."""

    unit: Unit
    sources: tuple[_Source, ...]
    """Of every piece: the bias of its convolution is added unless a norm would take it off again."""

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The pieces, then the residual."""
        tensors: list[Tensor | None] = []
        for x, source in zip(inputs, self.sources, strict=False):
            layer = source.norm or source.conv
            tensors += [x, source.norm.weight if source.norm else None, layer.bias if layer else None]
        return self.unit(*tensors, *inputs[len(self.sources) :])
