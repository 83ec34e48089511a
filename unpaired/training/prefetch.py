"""Batches on their way to the device: on a CUDA card the next one is copied while a step computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from unpaired.data.pairing import Batch
from unpaired.imaging.images import Images
from unpaired.training.engine import Engine

Item = TypeVar("Item")


@dataclass(frozen=True)
class Fed:
    """A batch and its images on the device, in the networks' layout."""

    batch: Batch
    x: Images
    y: Images
    pairs: tuple[Images, Images] | None
    masks: tuple[Images, Images] | None

    @classmethod
    def of(cls, batch: Batch, engine: Engine) -> Fed:
        """The batch, copied."""
        x, y, *pairs = (
            pixels.on(engine.device, engine.layout) for pixels in (batch.a, batch.b, *(batch.aligned or ()))
        )
        masks = (engine.put(batch.masks[0]), engine.put(batch.masks[1])) if batch.masks else None
        return cls(batch, x, y, (pairs[0], pairs[1]) if pairs else None, masks)


def feed(batches: Iterable[Batch], engine: Engine) -> Iterator[Fed]:
    """The batches, in order, each on the engine's device when its turn comes."""
    if engine.device.type == "cuda":
        yield from _beside(batches, engine)
    else:
        for batch in batches:
            yield Fed.of(batch, engine)


def _beside(batches: Iterable[Batch], engine: Engine) -> Iterator[Fed]:
    """Copied, scaled and mirrored on a stream of their own, each while the step before it computes."""
    side = torch.cuda.Stream(engine.device)

    def copy(batch: Batch) -> tuple[Fed, torch.Event]:
        with torch.cuda.stream(side):
            return Fed.of(batch, engine), side.record_event()

    for fed, copied in one_ahead(map(copy, batches)):
        here = torch.cuda.current_stream(engine.device)
        here.wait_event(copied)
        for images in (fed.x, fed.y, *(fed.pairs or ()), *(fed.masks or ())):
            images.record_stream(here)  # their memory is not given away before the step has read them
        yield fed


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items, each drawn before the one in front of it is handed out."""
    held: list[Item] = []
    for item in items:
        yield from held
        held = [item]
    yield from held
