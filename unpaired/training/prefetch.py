"""Batches on their way to the device: on CUDA the next one is copied while a step computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from unpaired.core.pipeline import one_ahead
from unpaired.data.pairing import HostBatch
from unpaired.data.sources import ImageFile
from unpaired.methods import Batch
from unpaired.training.engine import Engine


@dataclass(frozen=True)
class Prefetched:
    """A batch on the device, in the networks' layout, and the files of its images."""

    batch: Batch
    files: tuple[ImageFile, ...]


def prefetch(batches: Iterable[HostBatch], engine: Engine) -> Iterator[Prefetched]:
    """The batches, in order, each on the engine's device when its turn comes.

    On CUDA they are copied, scaled and mirrored on a second stream, each while the step before it computes.
    """
    if engine.device.type != "cuda":
        yield from (to_device(batch, engine) for batch in batches)
        return
    side = torch.cuda.Stream(engine.device)

    def copy(batch: HostBatch) -> tuple[Prefetched, torch.Event]:
        with torch.cuda.stream(side):
            return to_device(batch, engine), side.record_event()

    for item, copied in one_ahead(map(copy, batches)):
        here = torch.cuda.current_stream(engine.device)
        here.wait_event(copied)
        for tensor in item.batch.tensors:
            tensor.record_stream(here)  # so that its memory is not reused before the step has read it
        yield item


def to_device(host: HostBatch, engine: Engine) -> Prefetched:
    """A batch, copied; on CUDA pixels are scaled and mirrored there."""
    x, y, *pairs = (pixels.on(engine.device, engine.layout) for pixels in (host.a, host.b, *(host.aligned or ())))
    masks = (engine.put(host.masks[0]), engine.put(host.masks[1])) if host.masks else None
    return Prefetched(Batch(x, y, masks, (pairs[0], pairs[1]) if pairs else None, host.share), host.files)
