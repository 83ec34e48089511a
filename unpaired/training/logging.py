"""The log of a run: metrics.jsonl, TensorBoard events, sample grids and trackers. None needs a server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unpaired.checkpoints.bundle import load_bundle
from unpaired.core.errors import BadInput, brief
from unpaired.core.files import written_whole
from unpaired.core.safe_text import json_lines
from unpaired.experiment import read_experiment, to_dict
from unpaired.imaging.images import OneImage, Pixels, to_pixels
from unpaired.training.events import EventFile
from unpaired.training.processes import ALONE, Processes
from unpaired.training.trackers import Trackers

METRICS, SAMPLES, EVENTS = "metrics.jsonl", "samples", "tensorboard"
FORMAT = 1
"""Version of a line of metrics.jsonl."""
GAP = 2
"""White pixels between the images of a grid."""


class RunLog:
    """Means of the losses, written at intervals; adding losses never waits for the device."""

    def __init__(
        self,
        run: Path,
        start: int,
        batch: int,
        processes: Processes = ALONE,
        trackers: Trackers | None = None,
        steps_per_epoch: int = 1,
        total: int | None = None,
    ) -> None:
        """Continue the log in `run` after step `start`; its later lines are deleted. Only the first process writes.

        A step has `batch` images of each domain, the run `total` steps. Losses are averaged over the processes.
        """
        self.run, self.batch, self.processes, self.trackers = run, batch, processes, trackers
        self.steps_per_epoch, self.total = steps_per_epoch, total
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.latest: dict[str, float] = {}
        """The means last written."""
        self.note = ""
        """The latest numbers in a few words, for the progress bar."""
        self.validation_note = ""
        self.started = self.since = time.monotonic()
        self.paused = 0.0
        """Seconds since the start that were not spent on training steps."""
        if processes.first:
            self.path = run / METRICS
            _drop_lines_after(self.path, start)
            self.events = EventFile(run / EVENTS, start)

    @property
    def training_seconds(self) -> float:
        """Seconds spent on training steps since the start."""
        return time.monotonic() - self.started - self.paused

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Count the losses of one step."""
        self.sums = {name: self.sums.get(name, 0) + loss for name, loss in losses.items()}
        self.steps += 1

    def write(self, step: int, lr: float) -> None:
        """Write the means since the last line; every process calls this."""
        losses, now = self._means(), time.monotonic()
        speed = round(self.steps * self.batch / (now - self.since), 3)
        self.latest = losses
        self.sums, self.steps, self.since = {}, 0, now
        if self.processes.first:
            self.note = f"{describe_losses(losses)}  {speed:.1f} images/s{self.validation_note}"
            total = {"total": self.total} if self.total else {}
            self._append(step, {**total, "lr": lr, "images_per_second": speed, "losses": losses})
            self._publish(step, {**losses, "lr": lr, "images_per_second": speed})

    def add_validation(self, step: int, record: Mapping[str, Any], values: Mapping[str, float], note: str) -> None:
        """Write a validation result to metrics.jsonl, TensorBoard and trackers; the progress bar shows the note."""
        self.validation_note = f"  {note}"
        self._append(step, {"validation": record})
        self._publish(step, values)

    def add_findings(self, step: int, findings: Sequence[Mapping[str, Any]]) -> None:
        """Write the doctor's findings as a line of their own."""
        if findings:
            self._append(step, {"findings": findings})

    def add_samples(self, step: int, name: str, grid: Pixels) -> None:
        """Write an image grid, for example of name AtoB, as a PNG and to TensorBoard and trackers."""
        folder = self.run / SAMPLES
        folder.mkdir(exist_ok=True)
        path = folder / f"step-{step:06d}_{name}.png"
        Image.fromarray(grid).save(path)
        if self.trackers:
            self.trackers.image(step, name, path)
        self.events.image(step, name, grid)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Inside, time does not count as training time."""
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.since += seconds
        self.paused += seconds

    def close(self) -> None:
        """Close the event file and end the trackers."""
        if self.processes.first:
            self.events.close()
        if self.trackers:
            self.trackers.close()

    def _append(self, step: int, values: Mapping[str, Any]) -> None:
        seconds = round(time.monotonic() - self.started, 3)
        epoch = max(step - 1, 0) // self.steps_per_epoch
        with self.path.open("a", encoding="utf-8") as file:
            line = {"format": FORMAT, "step": step, "epoch": epoch, "seconds": seconds, **values}
            file.write(json.dumps(line) + "\n")

    def _publish(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.events.scalar(step, name, value)
        if self.trackers:
            self.trackers.log(step, values)

    def _means(self) -> dict[str, float]:
        """The mean of each loss since the last line, over all processes."""
        values = self.processes.mean(torch.stack(list(self.sums.values())) / self.steps).tolist()
        return {name: round(value, 6) for name, value in zip(self.sums, values, strict=True)}


def log_evaluation(run: Path, evaluation: Mapping[str, Any]) -> None:
    """Send an evaluation's numbers of AtoB and BtoA to a run's TensorBoard and trackers, at its bundle's step."""
    experiment, step = read_experiment(run / "config.yaml"), load_bundle(run).step
    values = {
        f"evaluation/{name}/{direction}": float(value)
        for direction in ("AtoB", "BtoA")
        for name, value in evaluation.get(direction, {}).items()
    }
    try:
        events = EventFile(run / EVENTS)
        trackers = Trackers(experiment.runtime.trackers, run, experiment.runtime.project, to_dict(experiment))
    except OSError as error:  # a run that cannot be written can still be evaluated
        say(f"{run}: its evaluation is not in TensorBoard or trackers ({error.strerror})")
        return
    for name, value in values.items():
        events.scalar(step, name, value)
    events.close()
    trackers.log(step, values)
    trackers.close()


def say(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def image_grid(rows: list[list[OneImage]]) -> Pixels:
    """Rows of images, each (c, h, w) in [-1, 1], as one (H, W, 3) uint8 image with white gaps."""
    tiles = [[_rgb(image) for image in row] for row in rows]
    height, width = (max(tile.shape[k] for row in tiles for tile in row) for k in (0, 1))
    columns = max(map(len, tiles))
    grid = np.full((len(tiles) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            top, left = r * (height + GAP), c * (width + GAP)
            grid[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return grid


def describe_losses(losses: Mapping[str, float]) -> str:
    """The losses on one line, with both domains added, e.g. `gan 0.61 cycle 2.10 discriminator 0.35`."""
    families: dict[str, float] = {}
    for name, value in losses.items():
        family = name.partition("/")[0]
        families[family] = families.get(family, 0) + value
    return " ".join(f"{family} {value:.2f}" for family, value in families.items())


def _rgb(image: OneImage) -> Pixels:
    """The first three channels as RGB; the first of one or two channels as gray."""
    pixels = to_pixels(image)
    return pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)


def _drop_lines_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(line for line, values in json_lines(path) if _step(path, values) <= step)


def _step(path: Path, values: dict[str, Any]) -> int:
    version = values.get("format", FORMAT)
    if type(version) is not int or version > FORMAT:
        raise BadInput(f"{path}: format {brief(version)}, this version reads up to {FORMAT}; upgrade unpaired")
    if type(values.get("step")) is not int:
        raise BadInput(f"{path}: expected the number of a step in each line, found {brief(values.get('step'))}")
    return values["step"]
