"""The fixed test images of a run: a first pass through the networks, and the grids that show it learning."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from unpaired.config import DataConfig, Direction, opposite
from unpaired.core.errors import BadInput
from unpaired.data.folders import domain_files, has_domain
from unpaired.data.sources import ImageFile
from unpaired.data.transforms import central
from unpaired.experiment import Experiment
from unpaired.imaging.images import Images, OneImage, Pixels, read_image, to_tensor, with_channels
from unpaired.methods import Batch, Method, evaluate
from unpaired.metrics.symptoms import LEVEL
from unpaired.training.engine import Engine
from unpaired.training.logging import image_grid
from unpaired.training.trainer import Trainer

FAINT = 3 * LEVEL
"""Deviation of noise that nobody sees, laid over a translation to tell whether the way back lives on hidden signals."""


@dataclass(frozen=True)
class SampleOutputs:
    """Fixed images of one domain through the networks; `back` is empty where there is no way back."""

    files: list[ImageFile]
    inputs: list[OneImage]
    outputs: list[OneImage]
    back: list[OneImage]
    back_of_noisy: list[OneImage]

    def grid(self) -> Pixels:
        """A row per image: the image, its translation, and back again."""
        columns = [self.inputs, self.outputs, *([self.back] if self.back else [])]
        return image_grid([list(row) for row in zip(*columns, strict=True)])


class FixedSamples:
    """The same few test images of each domain, translated again and again."""

    def __init__(self, experiment: Experiment, skipped: Collection[str] = ()) -> None:
        """Reads them evenly spread over testA and testB, or the training folders where there is no test.

        Args:
            experiment: Names the data set, and how many to take.
            skipped: Paths inside the data set that are left out.
        """
        cfg, root = experiment.data, Path(experiment.data.root)
        self.images: dict[str, list[OneImage]] = {}
        self.files: dict[str, list[ImageFile]] = {}
        for side, channels in (("A", cfg.channels_a), ("B", cfg.channels_b)):
            files = domain_files(root, f"test{side}" if has_domain(root, f"test{side}") else f"train{side}", skipped)
            chosen = [files[k * len(files) // experiment.runtime.samples] for k in range(experiment.runtime.samples)]
            self.files[side] = list(dict.fromkeys(chosen))
            self.images[side] = [read_sample(file, channels, cfg) for file in self.files[side]]

    def translate(self, method: Method, engine: Engine) -> dict[Direction, SampleOutputs]:
        """The images of each domain there and, where the method has both directions, back again."""
        networks = method.translators
        rng = torch.Generator().manual_seed(0)  # of its own: looking must not change what training draws
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


def read_sample(file: ImageFile, channels: int, cfg: DataConfig) -> OneImage:
    """The middle of an image, sized as training sizes it.

    Raises:
        BadInput: it cannot be read, or does not fit the settings; the message names it.
    """
    decoded = read_image(file)
    try:
        return to_tensor(central(with_channels(decoded.pixels, channels), cfg))
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error


@contextmanager
def eval_mode(method: Method) -> Iterator[None]:
    """Inside, forward passes leave no trace: no dice are thrown, no batch statistics kept."""
    method.eval()
    try:
        yield
    finally:
        method.train()


def dry_run(trainer: Trainer, samples: FixedSamples) -> None:
    """One pass without gradient, so that images and networks that do not fit are refused before a run is made.

    Raises:
        BadInput: the size of the images is none that the networks can take.
    """
    method, put = trainer.method, trainer.engine.put
    for side in "AB":
        check_sides(method, samples.images[side][0][None], samples.files[side][0])
    x, y = (put(samples.images[side][0][None]) for side in "AB")
    try:
        with torch.no_grad(), eval_mode(method), trainer.engine.precision():
            evaluate(method.generator_losses(Batch(x, y)))
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            f"images of {x.shape[3]}x{x.shape[2]} and {y.shape[3]}x{y.shape[2]} px do not go through these networks "
            f"({' '.join(str(error).split())}); a larger data.crop_size or fewer method.discriminator.layers may help"
        ) from error


def check_sides(method: Method, images: Images, file: ImageFile) -> None:
    """Refuse images whose sides the generators do not divide.

    Raises:
        BadInput: names the file, the sides found and the setting to change.
    """
    height, width = images.shape[2:]
    multiple = max(network.multiple for network in method.translators.values())
    if height % multiple or width % multiple:
        raise BadInput(
            f"{file}: width and height must divide by {multiple} for this generator, found {width}x{height} after "
            f"data.preprocess; set data.crop_size to such a number, and a data.preprocess that ends in crop"
        )
