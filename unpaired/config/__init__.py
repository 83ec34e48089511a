"""The settings of every experiment: data, optimisation, runtime.

Frozen dataclasses, checked once, no logic. `config.methods` and `config.networks` hold those of methods and networks.
The text below a field is its help on the command line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from unpaired.config.size import Size, SizeSetting
from unpaired.core.device import NAMES, is_device_name
from unpaired.core.errors import brief

Preprocess = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
Pages = Literal["first", "all"]
Direction = Literal["AtoB", "BtoA"]
DIRECTIONS: tuple[Direction, Direction] = ("AtoB", "BtoA")
Scale = Literal["own", "train"]
"""Whether images to translate keep their own size or get that of training."""


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return "BtoA" if direction == "AtoB" else "AtoB"


FeaturesName = Literal["efficientnet-lite0", "inception", "dinov2", "clip"]
"""Feature extractors: `unpaired.features`."""


MOST = {
    **{"data.load_size": 2**14, "data.crop_size": 2**14, "data.channels_a": 256, "data.channels_b": 256},
    **{"data.batch": 2**12, "data.workers": 256, "runtime.threads": 2**10, "runtime.samples": 2**10},
    **{"runtime.seed": 2**63 - 1, "runtime.validate_images": 1000},
}
"""Upper limits: larger values are mistakes."""
LONGEST_NAME = 64
"""Characters of a domain's name."""
FEWEST_VALIDATED = 10
"""Images of a domain from which a KID has an interval at all."""


def _at_least(value: float, least: float, name: str) -> None:
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if value > MOST.get(name, math.inf):
        raise ValueError(f"{name} must be at most {MOST[name]}, got {brief(value)}")


def _all_at_least(least: float, settings: object, part: str, *names: str) -> None:
    """Check these settings of a part, except those that are None."""
    for name in names:
        if (value := getattr(settings, name)) is not None:
            _at_least(value, least, f"{part}.{name}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images and their preprocessing."""

    root: str = ""
    """Folder with trainA and trainB (and testA, testB), or hf://datasets/user/name, which is read remotely."""
    name_a: str = ""
    """Name of domain A in messages and on pages; that in the data set's dataset.json unless given."""
    name_b: str = ""
    """Name of domain B."""
    preprocess: Preprocess = "resize_and_crop"
    """Geometry: resize to load_size and crop, crop only, scale the width, scale and crop, or none."""
    load_size: SizeSetting = 286
    """Pixels before cropping: a side or WIDTHxHEIGHT (resize), e.g. 286 or 572x286; a width (scale)."""
    crop_size: SizeSetting = 256
    """Pixels of a training image after cropping: a side or WIDTHxHEIGHT, e.g. 256 or 512x256."""
    flip: bool = True
    """Mirror left to right with probability one half."""
    pairs: int = 0
    """Semi-paired training: aligned pairs per step from pairsA and pairsB, under equal names; 0 for none."""
    masks: bool = False
    """Translate only inside masks: images in masksA and masksB under the names of trainA and trainB, white inside."""
    pages: Pages = "first"
    """Of stacks and animations: the first image alone, or all, each of them an image of the data set."""
    paired: bool = False
    """Load images of A and B of one name together, cropped and mirrored alike; pix2pix needs it."""
    channels_a: int = 3
    """Channels of domain A: 1 gray, 3 colour, or as many as its files have."""
    channels_b: int = 3
    """Channels of domain B."""
    range: Literal["auto", "fixed", "percentile"] = "auto"
    """Black and white of files over 8 bits: least and largest training value, full scale, or 0.1 and 99.9 percent."""
    range_a: str = ""
    """Black and white of domain A as BLACK,WHITE, e.g. -1000,2000; by data.range unless given."""
    range_b: str = ""
    """Black and white of domain B."""
    nodata: float | None = None
    """Value of pixels without data, in files that do not name it themselves."""
    batch: int = 1
    """Images of each domain in a batch (the paper: 1)."""
    workers: int | None = None
    """Threads that read images ahead: the processors, 2 to 16, unless given; the order of images does not depend on
    it."""
    cache_gb: float = 4.0
    """Memory for decoded images, in gigabytes."""
    on_bad_image: Literal["fail", "skip"] = "fail"
    """Images are read once before the first step: fail stops and names all bad ones, skip leaves them out."""

    def __post_init__(self) -> None:
        for name in ("name_a", "name_b"):
            if len(getattr(self, name)) > LONGEST_NAME:
                raise ValueError(f"data.{name} must have at most {LONGEST_NAME} characters")
        _all_at_least(1, self, "data", "channels_a", "channels_b", "batch")
        _all_at_least(0, self, "data", "workers", "pairs", "cache_gb")
        load, crop = self.load, self.crop
        for name, side in (("load_size", load), ("crop_size", crop)):
            for length in side:
                _at_least(length, 1, f"data.{name}")
        if self.preprocess == "resize_and_crop" and (crop.width > load.width or crop.height > load.height):
            raise ValueError(f"data.crop_size ({crop}) must not exceed data.load_size ({load})")
        if self.preprocess.startswith("scale_width") and load.width != load.height:
            raise ValueError(
                f"data.load_size ({load}) must be a width alone with data.preprocess {self.preprocess}, as {load.width}"
            )

    @property
    def load(self) -> Size:
        """Width and height before cropping."""
        return Size.parse(self.load_size)

    @property
    def crop(self) -> Size:
        """Width and height after cropping."""
        return Size.parse(self.crop_size)


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Adam and its learning rate (CycleGAN App. 7.1)."""

    lr: float = 2e-4
    """Learning rate of the generators."""
    discriminator_lr: float | None = None
    """Learning rate of the discriminators; that of the generators unless given."""
    beta1: float = 0.5
    """Decay of the first moment."""
    beta2: float = 0.999
    """Decay of the second moment."""
    epochs: int = 100
    """Epochs at the full learning rate."""
    decay_epochs: int = 100
    """Epochs of linear decay to zero after them; 0 keeps the rate constant."""
    schedule: Literal["linear", "step", "cosine"] = "linear"
    """Decay: linear as published; step: a tenth every decay_every epochs; cosine: half a cosine over all epochs."""
    decay_every: int = 50
    """Epochs between the decays of schedule step."""
    steps: int | None = None
    """Total steps in place of epochs; the decay keeps its share of them."""
    min_steps: int = 0
    """Steps where the epochs have fewer, of few images; the decay keeps its share."""
    max_steps: int | None = None
    """Steps where the epochs have more, of many images; no limit unless given."""
    start: str = ""
    """Bundle or run whose generators are fine-tuned; random weights unless given."""
    colour_start: int = 0
    """Steps before the first in which fresh generators learn the linear colour map between the domains, at most as
    many as steps; 0: none. Those of optim.start go without."""
    discriminator_warmup: int = 0
    """First steps in which only the discriminators are updated, for generators that are fine-tuned."""
    accumulate: int = 1
    """Batches of data.batch images whose gradients are accumulated for one step."""
    ema_decay: float = 0.0
    """Decay of the exponential moving average of the generators' weights in the bundle; 0 for the last weights."""

    def __post_init__(self) -> None:
        for name in ("lr", "discriminator_lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"optim.{name} must be positive and finite, got {value}")
        for name in ("beta1", "beta2", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"optim.{name} must be at least 0 and below 1, got {getattr(self, name)}")
        _all_at_least(0, self, "optim", "epochs", "decay_epochs", "colour_start", "discriminator_warmup", "min_steps")
        _at_least(self.epochs + self.decay_epochs, 1, "optim.epochs + optim.decay_epochs")
        _all_at_least(max(1, self.min_steps), self, "optim", "max_steps")
        _all_at_least(1, self, "optim", "decay_every", "steps", "accumulate")


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Device, precision, intervals and logging. Only seed and precision change results beyond rounding."""

    seed: int = 0
    """Seed of every random number."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU."""
    precision: Literal["auto", "bf16", "fp32", "exact"] = "auto"
    """bf16, fp32, or exact: fp32 in the published order, bit for bit. auto: bf16 where the hardware supports it."""
    cuda_graphs: bool = True
    """On CUDA, record the whole training step once as a graph and replay it; false launches every kernel by itself."""
    checkpoint_blocks: bool = False
    """Recompute residual blocks in the backward pass: less memory, more time."""
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""
    deterministic: bool = False
    """Deterministic algorithms on a GPU, at some cost in speed; a CPU is deterministic anyway."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    sample_every: int = 500
    """Steps between sample grids."""
    save_every: int = 500
    """Steps between checkpoints; a run also saves when it is stopped."""
    validate_every: int = 0
    """Steps between validations: KID on test images, the best step kept as best.safetensors; 0 for none."""
    validate_features: FeaturesName = "efficientnet-lite0"
    """Features of KID: efficientnet-lite0 comes with unpaired[metrics], the others need validate_weights."""
    validate_weights: str = ""
    """Weights of the feature extractor: a file for inception, a folder for dinov2 and clip."""
    validate_images: int = 200
    """Test images of each domain in a validation, at most."""
    trackers: str = ""
    """Trackers to log to, joined by commas: wandb, trackio, mlflow."""
    project: str = "unpaired"
    """Project name in the trackers."""
    samples: int = 6
    """Test images of each domain in a sample grid."""
    keep: int = 2
    """Checkpoints kept, beside those with a file `pinned` or `best` in their folder."""
    keep_every: int = 0
    """Steps between checkpoints that are never deleted, to translate with an earlier step; 0 for none."""

    def __post_init__(self) -> None:
        if not is_device_name(self.device):
            raise ValueError(f"runtime.device: expected {NAMES}, found {self.device}")
        _all_at_least(0, self, "runtime", "seed", "threads", "validate_every", "keep_every")
        _all_at_least(1, self, "runtime", "log_every", "sample_every", "save_every", "samples", "keep")
        _all_at_least(FEWEST_VALIDATED, self, "runtime", "validate_images")
