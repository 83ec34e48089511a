"""An image of any size through a generator, tile by tile, without seams.

A tile translated alone has colours of its own. Here every InstanceNorm gets the statistics of its whole plane:

- exact: a sweep over the tiles computes the plane before a norm, keeps it outside of memory and sums up its statistics;
  the next sweep starts from there. Only planes of the image's own size, the widest, are computed a second time instead
  of kept. The output equals the whole-image output.
- sampled: the statistics are those of a smaller image put together from parts spread over the whole one (a shrunk one
  has other textures), and each tile goes through the network once. Nothing is kept; the output is near the exact one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unpaired.imaging.images import Images
from unpaired.inference.graph import Statistics, Step, evaluate, normalised, steps_of
from unpaired.inference.moments import merged, moments
from unpaired.inference.options import TILE
from unpaired.inference.scratch import Scratch
from unpaired.models import Generator
from unpaired.models.spatial import Box, Pointwise, Size

LEAST_TILE = 8
"""On planes of fewer pixels than the image's, tiles shrink with them, but not below this."""
SAMPLED, RUN = 1024, 64
"""Sides in pixels of the image that stands for a larger one, and of its parts."""
SECONDS_BETWEEN_MARKS = 10.0
"""Work that a killed process may have to do again."""


class Memory:
    """Arrays by name in memory, as `Scratch` has them on disk; zeros at first."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray] = {}

    def open(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray:
        """The same array each time."""
        if name not in self.arrays:
            self.arrays[name] = np.zeros(shape, dtype)
        return self.arrays[name]

    def flush(self, name: str) -> None:
        """Nothing to do."""

    def drop(self, name: str) -> None:
        """Free it."""
        self.arrays.pop(name, None)


Arrays = Memory | Scratch
"""Where planes and marks are kept."""


@dataclass(frozen=True)
class Sweep:
    """One pass over the tiles of one plane."""

    target: int
    """Number of the step whose plane is computed."""
    size: Size
    """Height and width of what is computed of it."""
    channels: int
    tile: int
    """Side of a tile on this plane."""
    measured: bool = False
    """Whether an InstanceNorm needs its statistics."""
    kept: bool = False
    """Whether later sweeps read it."""


def boxes(size: Size, tile: int) -> list[Box]:
    """Tiles of a side of `tile` pixels that cover a height and a width, row by row."""
    rows, columns = ([(start, min(start + tile, side)) for start in range(0, side, tile)] for side in size)
    return [(row, column) for row in rows for column in columns]


Found = dict[int, tuple[Tensor, Tensor]]
"""Mean and variance of planes, by number of step."""


@dataclass(frozen=True)
class Tiling:
    """An image of one size through a network: the steps, and the sweeps that carry them out in order."""

    steps: list[Step]
    sweeps: list[Sweep]
    """The last one makes the output."""
    given: Found
    """Statistics that no sweep has to find."""
    device: torch.device = torch.device("cpu")
    """Of the network; images come from the CPU and planes are kept there."""

    @classmethod
    def exact(cls, network: Generator, size: Size, channels: int, tile: int = TILE) -> Tiling:
        """Statistics of whole planes, found on the way; raises BadInput for a layer that cannot be tiled."""
        steps = steps_of(network, size, channels)
        return cls(steps, _sweeps(steps, tile), {}, device_of(network))

    @classmethod
    def sampled(cls, network: Generator, size: Size, small: Images, tile: int = TILE) -> Tiling:
        """Statistics of `small`, (1, c, h, w), which stands for the image; raises BadInput as `exact`."""
        steps = steps_of(network, size, small.shape[1])
        given = dict(zip(normalised(steps), statistics_of(network, small), strict=True))
        return cls(steps, _sweeps(steps, tile)[-1:], given, device_of(network))

    @property
    def tiles(self) -> int:
        """How many tiles all sweeps have."""
        return sum(len(boxes(sweep.size, sweep.tile)) for sweep in self.sweeps)

    @cached_property
    def last_readers(self) -> dict[int, int]:
        """By kept plane, the place of the last sweep that reads it."""
        kept = {sweep.target for sweep in self.sweeps if sweep.kept}
        return {plane: now for now, one in enumerate(self.sweeps) for plane in _reads(self.steps, one.target, kept)}

    @property
    def room(self) -> int:
        """Bytes that planes kept outside of memory take at most at one time."""

        def taken(now: int) -> int:
            alive = [one for one in self.sweeps[: now + 1] if self.last_readers.get(one.target, -1) >= now]
            return sum(4 * one.channels * one.size[0] * one.size[1] for one in alive)

        return max(map(taken, range(len(self.sweeps))))

    def run(
        self,
        image: Callable[[Box], Images],
        write: Callable[[Box, Tensor], None],
        arrays: Arrays,
        advance: Callable[[int], None] = lambda tiles: None,
    ) -> None:
        """Carry out what is not done yet.

        `image` gives a box of the image, (1, c, h, w) in [-1, 1]; `write` takes a tile of the output, (1, d, h, w) in
        [-1, 1], and keeps it as the array "out". With the same `arrays`, of planes and marks, a second run resumes
        where the first stopped. `advance` takes how many more tiles are done.
        """
        found = dict(self.given)
        for now, sweep in enumerate(self.sweeps):
            marks = self._sweep(sweep, found, image, write, arrays, advance)
            if sweep.measured:
                found[sweep.target] = merged(marks)
            for plane, last in self.last_readers.items():
                if last == now:
                    arrays.drop(f"plane-{plane}")

    @torch.inference_mode()
    def _sweep(
        self,
        sweep: Sweep,
        found: Found,
        image: Callable[[Box], Images],
        write: Callable[[Box, Tensor], None],
        arrays: Arrays,
        advance: Callable[[int], None],
    ) -> NDArray[np.float64]:
        """All tiles of one plane; returns the moments of each, which also mark it as done."""
        tiles, name = boxes(sweep.size, sweep.tile), f"plane-{sweep.target}" if sweep.kept else "out"
        marks_name, marks_shape = f"marks-{sweep.target}", (len(tiles), 1 + 2 * sweep.channels)
        marks = np.array(arrays.open(marks_name, marks_shape, np.float64))
        fresh, flushed = [], time.monotonic()
        advance(int(np.count_nonzero(marks[:, 0])))

        def known(number: int, box: Box) -> Tensor | None:
            if number == 0:
                return image(box).to(self.device)
            if number not in self.last_readers:
                return None
            part = np.array(self._plane(number, arrays)[slice(*box[0]), slice(*box[1])])
            return torch.from_numpy(part).permute(2, 0, 1)[None].to(self.device)

        for place, box in enumerate(tiles):
            if not marks[place, 0]:
                x = evaluate(self.steps, sweep.target, box, known, lambda number, _: found[number])
                if sweep.kept:
                    plane = self._plane(sweep.target, arrays)
                    plane[slice(*box[0]), slice(*box[1])] = x[0].permute(1, 2, 0).cpu()
                elif not sweep.measured:
                    write(box, x.cpu())
                marks[place] = moments(x) if sweep.measured else 1
                fresh.append(place)
                advance(1)
            if fresh and (time.monotonic() - flushed > SECONDS_BETWEEN_MARKS or place == len(tiles) - 1):
                arrays.flush(name)  # first what is marked, then the marks
                arrays.open(marks_name, marks_shape, np.float64)[fresh] = marks[fresh]
                arrays.flush(marks_name)
                fresh, flushed = [], time.monotonic()
        return marks

    def _plane(self, number: int, arrays: Arrays) -> NDArray:
        step = self.steps[number]
        return arrays.open(f"plane-{number}", (*step.size, step.channels), np.float32)


def spread(side: int) -> NDArray[np.intp]:
    """The rows (columns) of the image that stands for one of this side: all, or runs of them evenly spread."""
    if side <= SAMPLED:
        return np.arange(side)
    starts = np.linspace(0, side - RUN, SAMPLED // RUN).round().astype(np.intp)
    return (starts[:, None] + np.arange(RUN)).reshape(-1)


def statistics_of(network: Generator, images: Images) -> list[tuple[Tensor, Tensor]]:
    """What the InstanceNorms of a network see of one image (1, c, h, w), in order."""
    found: Found = {}

    def measure(number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        found[number] = merged(moments(x)[None])
        return found[number]

    translate_by(network, images, measure)
    return [found[number] for number in sorted(found)]


def device_of(network: Generator) -> torch.device:
    """The device of a network's weights."""
    return next(iter(network.parameters())).device


@torch.inference_mode()
def translate_by(network: Generator, images: Images, statistics: Statistics) -> Images:
    """The network on one whole image (1, c, h, w) with given InstanceNorm statistics; the result is on the CPU."""
    height, width = images.shape[2:]
    images = images.to(device_of(network))
    steps = steps_of(network, (height, width), images.shape[1])
    whole = ((0, steps[-1].size[0]), (0, steps[-1].size[1]))
    out = evaluate(steps, len(steps) - 1, whole, lambda number, box: images if number == 0 else None, statistics)
    return out[..., :height, :width].cpu()


def _sweeps(steps: list[Step], tile: int) -> list[Sweep]:
    """All sweeps in order; the last one makes the output."""
    measured, sweeps = set(normalised(steps)), []
    for number, step in enumerate(steps):
        readers = sum(number in other.sources for other in steps)
        worth = step.keep and not (isinstance(step.operation, Pointwise) and readers == 1)
        kept = worth and step.size[0] * step.size[1] < steps[0].size[0] * steps[0].size[1]
        if kept or number in measured:
            side = max(tile * step.size[0] // steps[0].size[0], LEAST_TILE)
            sweeps.append(Sweep(number, step.size, step.channels, side, number in measured, kept))
    return [*sweeps, Sweep(len(steps) - 1, steps[0].size, steps[-1].channels, tile)]


def _reads(steps: list[Step], target: int, kept: set[int]) -> set[int]:
    """The kept planes that `target` is computed from."""
    found, waiting = set(), list(steps[target].sources)
    while waiting:
        number = waiting.pop()
        if number in kept:
            found.add(number)
        else:
            waiting += steps[number].sources
    return found
