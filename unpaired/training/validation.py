"""Judging while training: every so many steps test images are translated and compared, as a set, with real ones.

Losses do not tell how good translations are, for the players' game keeps them level; KID on images kept out of
training does. Judging throws no dice and leaves no trace in what is trained.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field, FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from unpaired.checkpoints.bundle import BEST, Bundle, Chosen, write_bundle
from unpaired.config import FEWEST_JUDGED, Direction, RuntimeConfig, opposite
from unpaired.core.errors import BadInput, brief
from unpaired.core.progress import track
from unpaired.data.folders import images_of, within
from unpaired.data.heldout import spread
from unpaired.data.sources import ImageFile
from unpaired.experiment import Experiment
from unpaired.features import Extractor, load_extractor
from unpaired.imaging.images import Images, Pixels, to_pixels, with_channels
from unpaired.methods import Method
from unpaired.metrics.halves import half_widths
from unpaired.metrics.kid import unbiased_mmd
from unpaired.metrics.paired import mean_abs_error
from unpaired.training.engine import Engine
from unpaired.training.samples import check_sides, eval_mode, read_sample

if TYPE_CHECKING:
    from unpaired.metrics.fid import Features

ANEW = "judged by other features or on other images before; from here on the best is chosen anew"


@dataclass(frozen=True)
class Judgement:
    """What the test images said after a step, by direction."""

    step: NonNegativeInt
    kid: Annotated[dict[Direction, FiniteFloat], Field(min_length=1)]
    half_width: Annotated[dict[Direction, FiniteFloat], Field(min_length=1)]
    """Of the 95 % interval of KID, over the choice of test images."""
    cycle_error: dict[Direction, FiniteFloat]
    """Mean of |F(G(x)) - x| in 8-bit levels; empty where there is no way back."""

    @property
    def mean_kid(self) -> float:
        """Over the directions: what the best is chosen by."""
        return sum(self.kid.values()) / len(self.kid)

    @property
    def mean_half_width(self) -> float:
        """Of the interval of `mean_kid`; the directions, judged on other images, err apart from each other."""
        return math.hypot(*self.half_width.values()) / len(self.half_width)


@dataclass(frozen=True)
class Judged:
    """What a checkpoint keeps of judging."""

    recipe: dict[str, Any]
    past: list[Judgement]


_JUDGED = TypeAdapter(Judged)


class Judge:
    """The test images of a run, the network that judges, and its judgements so far."""

    def __init__(self, experiment: Experiment, skipped: Collection[str] = (), first: bool = True) -> None:
        """Chooses the images and loads the network, where the run judges at all.

        Args:
            experiment: Names the data set, how often to judge, on how many images and by whose features.
            skipped: Paths inside the data set that are left out.
            first: Whether this is the process that judges; the others only keep step with it.

        Raises:
            BadInput: too few test images, or ones that the network cannot take; weights or a package missing.
        """
        runtime, data = experiment.runtime, experiment.data
        self.experiment, self.every = experiment, runtime.validate_every
        self.channels = {"A": data.channels_a, "B": data.channels_b}
        self.past: list[Judgement] = []
        self.recipe: dict[str, Any] = {}
        """All that decides whether two judgements compare."""
        self.files: dict[str, list[ImageFile]] = {}
        self.real: dict[str, Features] = {}
        self.extractor: Extractor | None = None
        if not self.every:
            return
        root = Path(data.root)
        for side, channels in self.channels.items():
            self.files[side] = _held_out(root, side, skipped, runtime.judge_images)
            _require_colours(side, channels)
        if first:
            self.extractor = _extractor(runtime)
            self.recipe = _recipe(self.extractor, self.files, root)

    def due(self, step: int, total: int) -> bool:
        """Whether a run of `total` steps judges after this one."""
        return bool(self.every and step) and (step % self.every == 0 or step == total)

    def is_pending(self, step: int, total: int) -> bool:
        """Whether the judgement of this step is due and, broken off by a stop, has not been made."""
        return self.extractor is not None and self.due(step, total) and all(past.step != step for past in self.past)

    def prepare(self, method: Method) -> None:
        """Look at every test image once, for the features of real ones.

        Raises:
            BadInput: one cannot be read, or has a size that the generators do not take.
        """
        if self.extractor is not None:
            for side in self.files:
                self.real[side] = _doubled(self.extractor(self._real(side, method)))

    def look(self, step: int, method: Method, engine: Engine, stopping: Callable[[], bool]) -> bool:
        """Judge the method's translators; False where `stopping` broke it off, which is asked before each image.

        Every process calls this and asks as often; the first alone translates, and adds to `past`.

        Raises:
            BadInput: an image that can no longer be read, or a translation that is not finite.
        """
        work: list[tuple[Direction, ImageFile]] = [
            (direction, file) for direction in method.translators for file in self.files[direction[0]]
        ]
        rows: dict[Direction, list[Features]] = {direction: [] for direction in method.translators}
        errors: dict[Direction, list[float]] = {direction: [] for direction in method.translators}
        for direction, file in work:
            if stopping():
                return False
            if self.extractor is not None:
                image = self._read(file, direction[0])
                translated, back = _there_and_back(method, engine, direction, image)
                _require_finite(step, file, translated, back)
                rows[direction].append(self.extractor([_colours(translated)]))
                errors[direction] += [] if back is None else mean_abs_error(back, image).tolist()
        if self.extractor is not None:
            self.past.append(self._judgement(step, rows, errors))
        return True

    @property
    def best(self) -> Judgement:
        """The judgement of the lowest mean KID; of equal ones the first."""
        return min(self.past, key=lambda judgement: judgement.mean_kid)

    def keep_best(self, out: Path, method: Method) -> None:
        """Write the translators as `best.safetensors` where they have just been judged the best."""
        if self.past[-1] is self.best:
            features, counts = self.recipe["features"], (len(self.files["A"]), len(self.files["B"]))
            chosen = Chosen(features, self.best.mean_kid, counts)
            write_bundle(out / BEST, Bundle(self.experiment, method.translators, self.best.step, chosen=chosen))

    def load_state(self, facts: Mapping[str, Any]) -> str:
        """Take up what a checkpoint keeps of judging; a line to say where it does not compare with what comes.

        Raises:
            ValueError: it is nothing that `facts` gave.
        """
        if "judged" not in facts:
            return ""
        try:
            judged = _JUDGED.validate_python(facts["judged"])
        except ValidationError as error:
            raise ValueError(f"judged: {brief(facts['judged'])}") from error
        if self.extractor is not None and judged.recipe != self.recipe:
            return ANEW
        self.past, self.recipe = judged.past, judged.recipe
        return ""

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps, as `load_state` takes it; kept on while nothing is judged, too."""
        return {"judged": asdict(Judged(self.recipe, self.past))} if self.past else {}

    def record(self) -> dict[str, Any]:
        """The last judgement as a line of metrics.jsonl has it."""
        last = self.past[-1]
        return {
            "features": self.recipe["features"],
            "weights_sha256": self.recipe["weights_sha256"],
            "n": self.recipe["n"],
            "kid": _rounded(last.kid),
            "low": _rounded({direction: last.kid[direction] - wide for direction, wide in last.half_width.items()}),
            "high": _rounded({direction: last.kid[direction] + wide for direction, wide in last.half_width.items()}),
            "cycle_error": _rounded(last.cycle_error),
            "mean_kid": round(last.mean_kid, 6),
            "best": {"step": self.best.step, "mean_kid": round(self.best.mean_kid, 6)},
        }

    def values(self) -> dict[str, float]:
        """The last judgement as single numbers, for TensorBoard and trackers; whose features stands in the name."""
        last = self.past[-1]
        kid = {f"test/kid/{self.recipe['features']}/{name}": value for name, value in last.kid.items()}
        return kid | {f"test/cycle_error/{name}": value for name, value in last.cycle_error.items()}

    def describe(self) -> str:
        """The last judgement in a line."""
        last, n = self.past[-1], self.recipe["n"]
        kid = ", ".join(f"{name} {value:.5f} ± {last.half_width[name]:.5f}" for name, value in last.kid.items())
        cycle = ", ".join(f"{name} {value:.1f}" for name, value in last.cycle_error.items())
        best = "the best so far" if self.best is last else f"best {self.best.mean_kid:.5f}, step {self.best.step}"
        return (
            f"judged on {n['A']} test images of A, {n['B']} of B: KID of {self.recipe['features']} {kid}"
            f"{f'; cycle error {cycle} levels' if cycle else ''}; mean KID {last.mean_kid:.5f}, {best}"
        )

    def note(self) -> str:
        """The last judgement in a few words, to stand beside the losses."""
        return f"KID {self.past[-1].mean_kid:.4f}, best {self.best.mean_kid:.4f}"

    def _read(self, file: ImageFile, side: str) -> Images:
        """The middle of an image, sized as training sizes it."""
        return read_sample(file, self.channels[side], self.experiment.data)[None]

    def _real(self, side: str, method: Method) -> Iterator[Pixels]:
        for file in track(self.files[side], f"features of the real test images of {side}"):
            image = self._read(file, side)
            check_sides(method, image, file)
            yield _colours(image)

    def _judgement(
        self, step: int, rows: Mapping[Direction, list[Features]], errors: Mapping[Direction, list[float]]
    ) -> Judgement:
        fakes = {direction: _doubled(np.concatenate(each)) for direction, each in rows.items()}
        real = {direction: self.real[direction[-1]] for direction in rows}
        return Judgement(
            step,
            {direction: unbiased_mmd(fakes[direction], real[direction]) for direction in rows},
            {direction: half_widths(fakes[direction], real[direction], _kid, min_rows=2)["kid"] for direction in rows},
            {direction: sum(each) / len(each) for direction, each in errors.items() if each},
        )


def _there_and_back(
    method: Method, engine: Engine, direction: Direction, image: Images
) -> tuple[Images, Images | None]:
    """The translation of an image and, where there is a way back, the image again; both on the CPU."""
    networks = method.translators
    back = networks.get(opposite(direction))
    with torch.no_grad(), eval_mode(method), engine.precision():
        translated = networks[direction](engine.put(image))
        again = None if back is None else back(translated).cpu()
    return translated.cpu(), again


def _require_finite(step: int, file: ImageFile, *images: Images | None) -> None:
    if not all(image is None or bool(image.isfinite().all()) for image in images):
        raise BadInput(
            f"after step {step} the translation of {file}, or the way back, is not finite; the last checkpoint is "
            f"kept; a lower optim.lr or runtime.precision fp32 may help"
        )


def _held_out(root: Path, side: str, skipped: Collection[str], most: int) -> list[ImageFile]:
    files = images_of(root, f"test{side}").without(skipped)
    if len(files) < FEWEST_JUDGED:
        raise BadInput(
            f"runtime.validate_every: expected at least {FEWEST_JUDGED} images in {root / f'test{side}'} to judge on, "
            f"found {len(files)}; keep more out of training, or set it to 0"
        )
    return spread(files, most)


def _require_colours(side: str, channels: int) -> None:
    if channels not in (1, 3):
        raise BadInput(
            f"runtime.validate_every: networks of features see gray or colour images, and data.channels_{side.lower()} "
            f"is {channels}; set it to 0"
        )


def _extractor(runtime: RuntimeConfig) -> Extractor:
    name, weights = runtime.judge_features, runtime.judge_weights
    if name != "efficientnet-lite0" and not weights:
        raise BadInput(
            f"runtime.judge_weights: {name} needs its weights, none were given; docs/evaluation.md says which, "
            f"or set runtime.judge_features efficientnet-lite0"
        )
    try:
        return load_extractor(name, Path(weights) if weights else None)
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


def _colours(image: Images) -> Pixels:
    """One image as a file of it would be seen, in colour and 8 bits."""
    return with_channels(to_pixels(image[0]), 3)


def _kid(fake: Features, real: Features) -> dict[str, float]:
    return {"kid": unbiased_mmd(fake, real)}


def _doubled(features: Features) -> Features:
    """In double precision, as KID is taken."""
    return np.asarray(features, np.float64)


def _rounded(values: Mapping[Direction, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
