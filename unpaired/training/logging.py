"""What a run tells of itself: metrics.jsonl, TensorBoard events and sample grids. No server needed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tensorboardX import SummaryWriter
from torch import Tensor

from unpaired.core.errors import BadInput, brief
from unpaired.core.files import written_whole
from unpaired.core.safe_text import json_lines
from unpaired.imaging.images import OneImage, Pixels, to_pixels
from unpaired.methods import Losses
from unpaired.training.findings import Finding
from unpaired.training.processes import ALONE, Processes
from unpaired.training.trackers import Trackers

METRICS = "metrics.jsonl"
SAMPLES = "samples"
FORMAT = 1
"""Version of a line of metrics.jsonl."""
GAP = 2
"""White pixels between the images of a grid."""


class RunLog:
    """Averages of the terms since the last line, written every so many steps; nothing waits for the device."""

    def __init__(
        self, run: Path, start: int, batch: int, processes: Processes = ALONE, trackers: Trackers | None = None
    ) -> None:
        """Goes on after step `start`: later lines of an earlier try are dropped. Of several, process 0 writes."""
        self.run, self.batch, self.processes, self.trackers = run, batch, processes, trackers
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.latest: dict[str, float] = {}
        """The averages last written."""
        self.findings: list[Finding] = []
        """What the doctor last saw; the next line tells it."""
        self.beside = ""
        """A few words on the last judgement, to stand after the terms."""
        self.started = self.since = time.monotonic()
        if not processes.first:
            return
        self.path = run / METRICS
        _drop_lines_after(self.path, start)
        purge = start + 1 if start else 0  # TensorBoard forgets what an earlier try wrote from this step on
        suffix = f".{start:08d}"  # a name of its own even within the same second
        self.events = SummaryWriter(str(run / "tensorboard"), purge_step=purge, filename_suffix=suffix)

    def add(self, terms: Losses) -> None:
        """Count one step's terms."""
        self.sums = {name: self.sums.get(name, 0) + term for name, term in terms.items()}
        self.steps += 1

    def write(self, step: int, epoch: int, lr: float) -> str:
        """Write the averages after `step` steps; returns them in a few words."""
        terms, now = self.averages(), time.monotonic()
        line = {
            "format": FORMAT,
            "step": step,
            "epoch": epoch,
            "lr": lr,
            "images_per_second": round(self.steps * self.batch / (now - self.since), 3),
            "seconds": round(now - self.started, 3),
            "terms": terms,
            **({"findings": [asdict(finding) for finding in self.findings]} if self.findings else {}),
        }
        self.latest, self.findings = terms, []
        self.sums, self.steps, self.since = {}, 0, now
        if not self.processes.first:
            return ""
        self._publish(step, line, {**terms, "lr": lr, "images_per_second": line["images_per_second"]})
        return f"{describe_terms(terms)}  {line['images_per_second']:.1f} images/s{self.beside}"

    def add_judgement(
        self,
        step: int,
        epoch: int,
        record: Mapping[str, Any],
        values: Mapping[str, float],
        note: str,
        findings: Sequence[Finding],
    ) -> None:
        """Write a judgement on held-out images, in a line of its own.

        Args:
            step: The step judged.
            epoch: Its epoch.
            record: All of it, for metrics.jsonl.
            values: Its numbers, for TensorBoard and trackers.
            note: A few words on it, to stand after the terms from now on.
            findings: What the doctor says of it.
        """
        line = {
            "format": FORMAT,
            "step": step,
            "epoch": epoch,
            "seconds": round(time.monotonic() - self.started, 3),
            "judged": record,
            **({"findings": [asdict(finding) for finding in findings]} if findings else {}),
        }
        self.beside = f"  {note}"
        self._publish(step, line, values)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, time does not count as training's."""
        began = time.monotonic()
        yield
        self.since += time.monotonic() - began

    def _publish(self, step: int, line: Mapping[str, Any], values: Mapping[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self.events.add_scalar(name, value, step)
        if self.trackers:
            self.trackers.log(step, values)

    def averages(self) -> dict[str, float]:
        """The mean of each term since the last line, over the processes."""
        values = self.processes.mean(torch.stack(list(self.sums.values())) / self.steps).tolist()
        return {name: round(value, 6) for name, value in zip(self.sums, values, strict=True)}

    def add_samples(self, step: int, name: str, grid: Pixels) -> None:
        """Keep one image grid, e.g. name AtoB, as a PNG and for TensorBoard."""
        folder = self.run / SAMPLES
        folder.mkdir(exist_ok=True)
        path = folder / f"step-{step:06d}_{name}.png"
        Image.fromarray(grid).save(path)
        if self.trackers:
            self.trackers.image(step, name, path)
        self.events.add_image(name, grid, step, dataformats="HWC")

    def close(self) -> None:
        """Flush the event file."""
        if self.processes.first:
            self.events.close()
        if self.trackers:
            self.trackers.close()


def image_grid(rows: list[list[OneImage]]) -> Pixels:
    """Rows of images, each (c, h, w) in [-1, 1], as one (H, W, 3) uint8 image on white."""
    tiles = [[_rgb(image) for image in row] for row in rows]
    height, width = (max(tile.shape[k] for row in tiles for tile in row) for k in (0, 1))
    columns = max(map(len, tiles))
    grid = np.full((len(tiles) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            top, left = r * (height + GAP), c * (width + GAP)
            grid[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return grid


def describe_terms(terms: dict[str, float]) -> str:
    """The terms on one line, e.g. `gan 0.61 cycle 2.10 identity 0.98 discriminator 0.35`: both domains added."""
    families: dict[str, float] = {}
    for name, value in terms.items():
        family = name.partition("/")[0]
        families[family] = families.get(family, 0) + value
    return " ".join(f"{family} {value:.2f}" for family, value in families.items())


def _rgb(image: OneImage) -> Pixels:
    """Gray or two-channel images as gray, the first three of more channels as colours."""
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
