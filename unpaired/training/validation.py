"""Validation during training: test images are translated and compared, as a set, with real ones.

Losses do not measure quality, since both sides improve together; KID on images kept out of training does.
Validation draws no random numbers and changes nothing that is trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field, FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from unpaired.checkpoints.bundle import BEST, Bundle, Chosen, write_bundle
from unpaired.config import FEWEST_VALIDATED, DataConfig, Direction, RuntimeConfig, opposite
from unpaired.config.networks import JointConfig, ProjectedConfig
from unpaired.core.errors import BadInput, brief
from unpaired.core.progress import track
from unpaired.data.folders import PixelStore, images_of, within
from unpaired.data.heldout import spread
from unpaired.data.ranges import domain_of
from unpaired.data.sources import ImageFile
from unpaired.data.transforms import central
from unpaired.experiment import Experiment
from unpaired.features import Extractor, load_extractor
from unpaired.imaging.images import Images, OneImage, Pixels, to_pixels, to_tensor, with_channels
from unpaired.methods import Method
from unpaired.metrics.halves import half_widths
from unpaired.metrics.kid import unbiased_mmd
from unpaired.metrics.paired import mean_abs_error
from unpaired.training.engine import Engine
from unpaired.training.monitor import Context, Interval
from unpaired.training.sizes import check_sides, eval_mode

if TYPE_CHECKING:
    from unpaired.metrics.fid import Features

CPU = torch.device("cpu")
PIXELS_AT_ONCE = 2**20
"""Pixels of the images that are translated at once on a card: sixteen of 256 px."""


@dataclass(frozen=True)
class ValidationResult:
    """The numbers of one validation, by direction."""

    step: NonNegativeInt
    kid: Annotated[dict[Direction, FiniteFloat], Field(min_length=1)]
    half_width: Annotated[dict[Direction, FiniteFloat], Field(min_length=1)]
    """Half the width of the 95 % confidence interval of KID over test images."""
    cycle_error: dict[Direction, FiniteFloat]
    """Mean of |F(G(x)) - x| in 8-bit levels; empty without a way back."""

    @property
    def mean_kid(self) -> float:
        """Mean over the directions; the best step has the lowest."""
        return sum(self.kid.values()) / len(self.kid)

    @property
    def mean_half_width(self) -> float:
        """Of `mean_kid`, at most: both directions are judged on the same images, so their errors may go together."""
        return sum(self.half_width.values()) / len(self.half_width)


@dataclass(frozen=True)
class ValidationState:
    """The state of validation in a checkpoint."""

    recipe: dict[str, Any]
    past: list[ValidationResult]


_STATE = TypeAdapter(ValidationState)


class Validator:
    """The test images of a run, the feature extractor, and the results so far."""

    def __init__(
        self, experiment: Experiment, skipped: Collection[str] = (), steps: int = 0, store: PixelStore | None = None
    ) -> None:
        """Choose images that are not `skipped`, if the run of `steps` steps validates; `store` keeps them in memory.

        Raises BadInput for too few test images, or channels that feature extractors do not take.
        """
        runtime, data = experiment.runtime, experiment.data
        self.experiment, self.interval = experiment, Interval(runtime.validate_every, steps)
        self.store = store or PixelStore(replace(data, cache_gb=0))
        self.past: list[ValidationResult] = []
        self.recipe: dict[str, Any] = {}
        """Results are comparable only where this is equal."""
        self.files: dict[str, list[ImageFile]] = {}
        self.real: dict[str, Features] = {}
        self.extractor: Extractor | None = None
        if runtime.validate_every:
            for side, channels in (("A", data.channels_a), ("B", data.channels_b)):
                self.files[side] = _test_files(data, side, skipped, runtime.validate_images)
                if channels not in (1, 3):
                    raise BadInput(
                        f"runtime.validate_every: feature extractors take gray or colour images, and "
                        f"data.channels_{side.lower()} is {channels}; set it to 0"
                    )

    def load_extractor(self, device: torch.device = CPU) -> None:
        """Load the feature extractor, if the run validates; raises BadInput if its weights or package are missing."""
        if self.files:
            self.extractor = _extractor(self.experiment.runtime, device)
            self.recipe = _recipe(self.extractor, self.files, Path(self.experiment.data.root))

    def prepare(self, method: Method) -> None:
        """Read every test image once, for the features of the real ones; BadInput names one that does not fit."""
        if self.extractor is not None:
            for side in self.files:
                self.real[side] = _float64(self.extractor(self._real(side, method)))

    @property
    def caveat(self) -> str:
        """In words, why KID is too favourable; empty unless a discriminator sees the same features."""
        discriminator = getattr(self.experiment.method, "discriminator", None)
        same = isinstance(discriminator, ProjectedConfig | JointConfig)
        if not self.files or not same or self.experiment.runtime.validate_features != "efficientnet-lite0":
            return ""
        return (
            "validation: the discriminator is trained on the features that KID is computed in, so KID is too "
            "favourable and its best step a weak choice; set runtime.validate_features to others, or choose by "
            "`unpaired evaluate --at`"
        )

    def due(self, step: int) -> bool:
        """Whether the run validates after this step."""
        return step > 0 and self.interval(step)

    def is_pending(self, step: int) -> bool:
        """Whether the validation after this step is due but, because of a stop, has no result."""
        return self.due(step) and not self.has_result(step)

    def has_result(self, step: int) -> bool:
        """Whether there is a result of this step."""
        return any(past.step == step for past in self.past)

    def run(self, step: int, context: Context, stopping: Callable[[], bool]) -> None:
        """Validate, log the result and keep the best bundle; return without a result where `stopping` is true."""
        if self.validate(step, context.trainer.ema, context.trainer.engine, stopping):
            self.keep_best(context.out, context.trainer.ema)
            context.log.add_validation(step, self.record(), self.values(), self.note())
            context.say(f"step {step}: {self.describe()}")

    def validate(self, step: int, method: Method, engine: Engine, stopping: Callable[[], bool]) -> bool:
        """Add a result to `past`; False if `stopping`, polled before each batch of images, became true.

        Raises BadInput for an image that can no longer be read, or a translation that is not finite.
        """
        assert self.extractor is not None
        rows: dict[Direction, list[Features]] = {}
        errors: dict[Direction, list[float]] = {}
        for direction in method.translators:
            rows[direction], errors[direction] = [], []
            for files, images in self._batches(direction[0], engine.device):
                if stopping():
                    return False
                translated, back = _there_and_back(method, engine, direction, images)
                _require_finite(step, files, translated, back)
                rows[direction].append(self.extractor(map(_rgb, translated)))
                errors[direction] += [] if back is None else mean_abs_error(back, images).tolist()
        self.past.append(self._result(step, rows, errors))
        return True

    @property
    def best(self) -> ValidationResult:
        """The result with the lowest mean KID, the first of equal ones."""
        return min(self.past, key=lambda result: result.mean_kid)

    def keep_best(self, out: Path, method: Method) -> None:
        """Write the translators as `best.safetensors` if the latest result is the best."""
        if self.past[-1] is self.best:
            counts = (len(self.files["A"]), len(self.files["B"]))
            chosen = Chosen(self.recipe["features"], self.best.mean_kid, counts)
            write_bundle(out / BEST, Bundle(self.experiment, method.translators, self.best.step, chosen=chosen))

    def load_state(self, facts: Mapping[str, Any]) -> str:
        """Restore what `facts()` gave, else ValueError; returns a note if results are dropped as not comparable."""
        if "validation" not in facts:
            return ""
        try:
            state = _STATE.validate_python(facts["validation"])
        except ValidationError as error:
            raise ValueError(f"validation: {brief(facts['validation'])}") from error
        if self.files and state.recipe != self.recipe:
            return "former validation used other features or images; the best is chosen anew from here on"
        self.past, self.recipe = state.past, state.recipe
        return ""

    def facts(self) -> dict[str, Any]:
        """The state for a checkpoint, read by `load_state`; runs that no longer validate keep it, too."""
        return {"validation": asdict(ValidationState(self.recipe, self.past))} if self.past else {}

    def record(self) -> dict[str, Any]:
        """The latest result for metrics.jsonl."""
        last = self.past[-1]
        low = {direction: last.kid[direction] - half for direction, half in last.half_width.items()}
        high = {direction: last.kid[direction] + half for direction, half in last.half_width.items()}
        numbers = {"kid": last.kid, "low": low, "high": high, "cycle_error": last.cycle_error}
        return {
            **{key: self.recipe[key] for key in ("features", "weights_sha256", "n")},
            **{key: {way: round(v, 6) for way, v in values.items()} for key, values in numbers.items()},
            "mean_kid": round(last.mean_kid, 6),
            "best": {"step": self.best.step, "mean_kid": round(self.best.mean_kid, 6)},
        }

    def values(self) -> dict[str, float]:
        """The latest result as named numbers for TensorBoard and trackers; the features are part of the name."""
        last = self.past[-1]
        kid = {f"test/kid/{self.recipe['features']}/{name}": value for name, value in last.kid.items()}
        return kid | {f"test/cycle_error/{name}": value for name, value in last.cycle_error.items()}

    def describe(self) -> str:
        """The latest result in a line."""
        last, n = self.past[-1], self.recipe["n"]
        kid = ", ".join(f"{name} {value:.5f} ± {last.half_width[name]:.5f}" for name, value in last.kid.items())
        cycle = ", ".join(f"{name} {value:.1f}" for name, value in last.cycle_error.items())
        best = "the best so far" if self.best is last else f"best {self.best.mean_kid:.5f}, step {self.best.step}"
        return (
            f"validated on {n['A']} test images of A, {n['B']} of B: KID of {self.recipe['features']} {kid}"
            f"{f'; cycle error {cycle} levels' if cycle else ''}; mean KID {last.mean_kid:.5f}, {best}"
        )

    def note(self) -> str:
        """The latest result in a few words, for the progress bar."""
        return f"KID {self.past[-1].mean_kid:.4f}, best {self.best.mean_kid:.4f}"

    def _read(self, file: ImageFile, side: str) -> OneImage:
        """The middle of an image, sized as in training."""
        cfg = self.experiment.data
        return to_tensor(central(self.store.read(file, domain_of(cfg, "A" if side == "A" else "B")), cfg))

    def _batches(self, side: str, device: torch.device) -> Iterator[tuple[Sequence[ImageFile], Images]]:
        """Test images of a domain, several of one size at a time on a card, where one at a time would not fill it."""
        read = ((file, self._read(file, side)) for file in self.files[side])
        for shape, alike in groupby(read, key=lambda pair: pair[1].shape):
            most = 1 if device.type == "cpu" else max(1, PIXELS_AT_ONCE // shape[1:].numel())
            while batch := list(islice(alike, most)):
                files, images = zip(*batch, strict=True)
                yield files, torch.stack(images)

    def _real(self, side: str, method: Method) -> Iterator[Pixels]:
        for file in track(self.files[side], f"features of the real test images of {side}"):
            image = self._read(file, side)
            check_sides(method, (image.shape[2], image.shape[1]), file)
            yield _rgb(image)

    def _result(
        self, step: int, rows: Mapping[Direction, list[Features]], errors: Mapping[Direction, list[float]]
    ) -> ValidationResult:
        sets = {way: (_float64(np.concatenate(each)), self.real[way[-1]]) for way, each in rows.items()}
        return ValidationResult(
            step,
            {way: unbiased_mmd(*sets[way]) for way in rows},
            {way: half_widths(*sets[way], _kid, min_rows=2)["kid"] for way in rows},
            {way: sum(each) / len(each) for way, each in errors.items() if each},
        )


def _there_and_back(
    method: Method, engine: Engine, direction: Direction, images: Images
) -> tuple[Images, Images | None]:
    """The translations of images and, with a way back, the translations back; both on the CPU."""
    networks = method.translators
    back = networks.get(opposite(direction))
    with torch.no_grad(), eval_mode(method), engine.precision():
        translated = networks[direction](engine.put(images))
        again = None if back is None else back(translated).cpu()
    return translated.cpu(), again


def _require_finite(step: int, files: Sequence[ImageFile], *results: Images | None) -> None:
    for k, file in enumerate(files):
        if not all(images is None or bool(images[k].isfinite().all()) for images in results):
            raise BadInput(
                f"after step {step} the translation of {file}, or the way back, is not finite; the last checkpoint is "
                f"kept; a lower optim.lr or runtime.precision fp32 may help"
            )


def _test_files(cfg: DataConfig, side: str, skipped: Collection[str], limit: int) -> list[ImageFile]:
    root = Path(cfg.root)
    files = images_of(root, f"test{side}", cfg.pages).without(skipped)
    if len(files) < FEWEST_VALIDATED:
        raise BadInput(
            f"runtime.validate_every: expected at least {FEWEST_VALIDATED} images in {root / f'test{side}'}, found "
            f"{len(files)}; keep more out of training, or set it to 0"
        )
    return spread(files, limit)


def _extractor(runtime: RuntimeConfig, device: torch.device) -> Extractor:
    name, weights = runtime.validate_features, runtime.validate_weights
    if name != "efficientnet-lite0" and not weights:
        raise BadInput(
            f"runtime.validate_weights: {name} needs its weights, none were given; docs/evaluation.md lists them, "
            f"or set runtime.validate_features efficientnet-lite0"
        )
    try:
        return load_extractor(name, Path(weights) if weights else None, device=device)
    except BadInput as error:
        raise BadInput(f"runtime.validate_every: {error}; or set it to 0") from error


def _recipe(extractor: Extractor, files: Mapping[str, Sequence[ImageFile]], root: Path) -> dict[str, Any]:
    names = {side: [within(file, root).as_posix() for file in each] for side, each in files.items()}
    return {
        "features": extractor.name,
        **extractor.recipe,
        "n": {side: len(each) for side, each in files.items()},
        "images_sha256": hashlib.sha256(json.dumps(names).encode()).hexdigest(),
    }


def _rgb(image: OneImage) -> Pixels:
    """An image as its file would hold it: three channels of 8 bits."""
    return with_channels(to_pixels(image), 3)


def _kid(fake: Features, real: Features) -> dict[str, float]:
    return {"kid": unbiased_mmd(fake, real)}


def _float64(features: Features) -> Features:
    """KID is computed in double precision."""
    return np.asarray(features, np.float64)
