"""A whole training step with inputs at fixed addresses: on CUDA it is recorded once as a graph, and replayed.

A replayed step costs one launch. Values that change with the step are tensors: images, learning rates, the weight of
the running average, and the indices of the histories. Everything else must be the same in every step of one key.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from unpaired.methods import Batch

WARM_UP = 3
"""Steps of one key in a row that run as written before it is recorded: they allocate state and choose algorithms."""

Name = tuple[str, str]
"""Whose value it is, generators or discriminators, and its name; the empty name is that of their health."""
Values = dict[Name, Tensor]
Compute = Callable[[Batch], Values]
"""A step: it returns scalars."""
Record = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"""Makes of work on fixed addresses a function that does it again, and again returns its result."""


class StaticSteps:
    """Runs steps; those of a key that repeats run from fixed buffers. One key is recorded at a time."""

    def __init__(self, compute: Compute, record: Record | None, crowded: Callable[[], bool] = lambda: False) -> None:
        """With no `record` every step runs as written; `crowded` tells when one needs the memory of the recorded."""
        self.compute, self.record, self.crowded = compute, record, crowded
        self.forget()

    def forget(self) -> None:
        """Drop what was recorded, since the addresses of some state have changed."""
        self.again: Callable[[], Tensor] | None = None
        self.key: Hashable = None
        self.last: Hashable = None
        self.in_a_row = 0
        self.names: list[Name] = []
        """Of the scalars of the last step that was written out; `recorded` of those that a replay gives."""

    def __call__(self, batch: Batch, mode: Hashable, static: bool) -> Values:
        """One step; a recorded one is valid for its `mode`, and only a `static` one can run from fixed buffers."""
        key = tuple(tensor.shape for tensor in batch.tensors), batch.masks is None, batch.weight, mode
        self.in_a_row = self.in_a_row + 1 if key == self.last else 1
        self.last = key
        if self.record is None:
            return self.compute(batch)
        if not static or (key != self.key and self.in_a_row <= WARM_UP):
            self.make_room()
            values = self._work(batch)  # which sets the names
            return _named(self.names, values)
        if key != self.key or self.again is None:
            self.again = None  # its memory is for the next recording
            self.buffers = _copied(batch)
            self.again = self.record(lambda: self._work(self.buffers))
            self.key, self.recorded = key, self.names
        for buffer, tensor in zip(self.buffers.tensors, batch.tensors, strict=True):
            buffer.copy_(tensor, non_blocking=True)
        return _named(self.recorded, self.again().clone())  # the next replay overwrites them

    def make_room(self) -> None:
        """Drop what was recorded where other work lacks its memory."""
        if self.again is not None and self.crowded():
            self.again, self.key = None, None

    def _work(self, batch: Batch) -> Tensor:
        """The step with its scalars as one tensor: in the warm-up too, where all kernels of a recording are loaded."""
        values = self.compute(batch)
        self.names = list(values)
        return torch.stack([*values.values()])


def _named(names: list[Name], values: Tensor) -> Values:
    return dict(zip(names, values.unbind(), strict=True))


def graph_fills_card() -> bool:
    """Whether what torch holds unused, which a recorded graph keeps to itself, is more than the card has left."""
    unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return torch.cuda.mem_get_info()[0] < unused


def record_cuda_graph(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Record the work as a CUDA graph. Recording computes nothing; each call launches the graph."""
    graph = torch.cuda.CUDAGraph()
    # only this thread is kept from calls that a recording forbids: others read ahead and log meanwhile
    with torch.cuda.graph(graph, stream=_stream(torch.cuda.current_device()), capture_error_mode="thread_local"):
        result = work()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


@cache
def _stream(device: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def on_recording_stream(compute: Compute) -> Compute:
    """The step as written, on the stream that records: what libraries allocate for a stream exists before."""

    def run(batch: Batch) -> Values:
        here, stream = torch.cuda.current_stream(), _stream(torch.cuda.current_device())
        if torch.cuda.is_current_stream_capturing():
            return compute(batch)
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            values = compute(batch)
        here.wait_stream(stream)
        return values

    return run


def _copied(batch: Batch) -> Batch:
    """A copy of the batch in the same memory layout."""
    masks = (batch.masks[0].clone(), batch.masks[1].clone()) if batch.masks else None
    pairs = (batch.pairs[0].clone(), batch.pairs[1].clone()) if batch.pairs else None
    return replace(batch, x=batch.x.clone(), y=batch.y.clone(), masks=masks, pairs=pairs)
