"""One recorded graph for each shape of batch, in a bounded cache.

On CUDA a network's pass is recorded once for a shape (`torch.cuda.CUDAGraph`) and replayed in one launch. Elsewhere
nothing is recorded and the same code runs the network as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from weakref import WeakSet

import torch
from torch import Tensor

from unpaired.core.device import is_out_of_memory

Pass = Callable[[Tensor], Tensor]
Record = Callable[[Pass, Tensor], Pass]
"""Records a pass for batches like the example; what it returns may overwrite its last result at the next call."""
MOST_SHAPES = 8
"""Graphs kept. Each one holds the activations of its shape."""
ONE_AT_A_TIME = Lock()
"""torch allows a process one recording at a time, and a recording begins by waiting for all that the device does."""
WARM_UPS = 3
"""Passes before a recording, in which cuDNN chooses its algorithms."""


EVERY: WeakSet[Recorded] = WeakSet()
"""All of them, for the memory of one is what another lacks."""


class Recorded:
    """A network's forward pass, recorded for shapes that come more than once. Calls of all exclude each other."""

    def __init__(self, run: Pass, record: Record | None, most: int = MOST_SHAPES) -> None:
        """`record` None never records. At most `most` graphs are kept; the one unused for longest is dropped first."""
        self.run, self.record, self.most = run, record, most
        self.graphs: OrderedDict[tuple[int, ...], Pass | None] = OrderedDict()
        """By shape; None after a shape's first batch, which runs unrecorded: a recording costs several passes."""
        EVERY.add(self)

    def __call__(self, images: Tensor) -> Tensor:
        """The pass on a batch, (b, c, h, w). The result is the caller's own."""
        if self.record is None:
            return self.run(images)
        with ONE_AT_A_TIME:
            try:
                return self._pass(images, self.record)
            except RuntimeError as error:  # the graphs of other shapes and models hold memory that this one may need
                if not any(map(is_out_of_memory, filter(None, (error, error.__context__)))):
                    raise
                for each in list(EVERY):
                    each.graphs.clear()
            torch.cuda.empty_cache()  # out here, where the error no longer holds tensors
            return self.run(images)

    def _pass(self, images: Tensor, record: Record) -> Tensor:
        shape = tuple(images.shape)
        seen = shape in self.graphs
        graph = self.graphs.pop(shape, None)
        if seen and graph is None:
            graph = record(self.run, images)
        self.graphs[shape] = graph
        while len(self.graphs) > self.most:
            self.graphs.popitem(last=False)
        return self.run(images) if graph is None else graph(images).clone()


def record_cuda(run: Pass, example: Tensor) -> Pass:
    """Record a pass as a CUDA graph with static buffers, on the stream for which the warm-up allocated workspaces."""
    static_in = torch.empty_like(example).copy_(example)
    side = torch.cuda.Stream(example.device)
    side.wait_stream(torch.cuda.current_stream(example.device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            run(static_in)
    torch.cuda.current_stream(example.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # only this thread is kept from calls that a recording forbids: others decode and copy meanwhile
    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        static_out = run(static_in)

    def replay(images: Tensor) -> Tensor:
        static_in.copy_(images, non_blocking=True)
        graph.replay()
        return static_out

    return replay
