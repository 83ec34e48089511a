"""The fixed test images of a run, translated at intervals to show the progress of training."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from unpaired.config import DataConfig, Direction, opposite
from unpaired.core.errors import BadInput
from unpaired.data.folders import domain_files, images_of
from unpaired.data.ranges import SIDES, Side, domain_of
from unpaired.data.sources import ImageFile
from unpaired.data.transforms import central
from unpaired.experiment import Experiment
from unpaired.imaging.images import OneImage, Pixels, to_tensor
from unpaired.methods import Method
from unpaired.metrics.symptoms import LEVEL
from unpaired.training.engine import Engine
from unpaired.training.logging import image_grid
from unpaired.training.monitor import Context, Interval
from unpaired.training.sizes import eval_mode

FAINT = 3 * LEVEL
"""Standard deviation of invisible noise added to a translation, to detect cycles that rely on hidden signals."""


@dataclass(frozen=True)
class SampleOutputs:
    """Fixed images of one domain and what the networks make of them; `back` is empty without a way back."""

    files: list[ImageFile]
    inputs: list[OneImage]
    outputs: list[OneImage]
    back: list[OneImage]
    back_of_noisy: list[OneImage]

    def grid(self) -> Pixels:
        """A row per image: the image, its translation, and the translation back."""
        columns = [self.inputs, self.outputs, *([self.back] if self.back else [])]
        return image_grid([list(row) for row in zip(*columns, strict=True)])


class FixedSamples:
    """A few test images of each domain: the same throughout the run."""

    def __init__(self, experiment: Experiment, skipped: Collection[str] = (), steps: int = 0) -> None:
        """Read images spread over the test images, else over the training images, without those that are `skipped`."""
        cfg, root, count = experiment.data, Path(experiment.data.root), experiment.runtime.samples
        self.due = Interval(experiment.runtime.sample_every, steps)
        self.images: dict[str, list[OneImage]] = {}
        self.files: dict[str, list[ImageFile]] = {}
        self.step, self.outputs = -1, dict[Direction, SampleOutputs]()
        """The latest step sampled, and its outputs."""
        for side in SIDES:
            part = f"test{side}" if len(images_of(root, f"test{side}")) else f"train{side}"
            files = domain_files(root, part, skipped, cfg.pages)
            self.files[side] = list(dict.fromkeys(files[k * len(files) // count] for k in range(count)))
            self.images[side] = [read_sample(file, side, cfg) for file in self.files[side]]

    def run(self, step: int, context: Context, stopping: Callable[[], bool]) -> None:
        """Translate the images and write a grid for each direction."""
        self.step, self.outputs = step, self.translate(context.trainer.ema, context.trainer.engine)
        for direction, outputs in self.outputs.items():
            context.log.add_samples(step, direction, outputs.grid())

    def translate(self, method: Method, engine: Engine) -> dict[Direction, SampleOutputs]:
        """The images of each domain translated and, where the method has both directions, translated back."""
        networks = method.translators
        rng = torch.Generator().manual_seed(0)  # sampling must not change what training draws
        sampled: dict[Direction, SampleOutputs] = {}
        for direction, there in networks.items():
            back = networks.get(opposite(direction))
            sampled[direction] = SampleOutputs(self.files[direction[0]], self.images[direction[0]], [], [], [])
            for image in sampled[direction].inputs:
                with torch.no_grad(), eval_mode(method), engine.precision():
                    output = there(engine.put(image[None]))
                    noisy = output + engine.put(FAINT * torch.randn(output.shape, generator=rng))
                    sampled[direction].outputs.append(output[0].cpu())
                    if back is not None:
                        sampled[direction].back.append(back(output)[0].cpu())
                        sampled[direction].back_of_noisy.append(back(noisy)[0].cpu())
        return sampled

    def sizes(self, side: str) -> dict[tuple[int, int], ImageFile]:
        """An image of each (width, height)."""
        images = zip(self.images[side], self.files[side], strict=True)
        return {(image.shape[2], image.shape[1]): file for image, file in images}


def read_sample(file: ImageFile, side: Side, cfg: DataConfig) -> OneImage:
    """The middle of an image, sized as in training; BadInput names one that cannot be read, or does not fit."""
    pixels = domain_of(cfg, side).read(file)
    try:
        return to_tensor(central(pixels, cfg))
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error
