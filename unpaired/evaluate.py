"""`evaluate`: a trained model against its test set, beside what needs no network.

Each direction is judged by every number that its data allow: against the truth where testA and testB show the same
places, against the set of real pictures always, and by the way there and back where the model has both directions.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from unpaired import __version__
from unpaired.config import Direction
from unpaired.data.folders import domain_files
from unpaired.data.heldout import HeldOut, HeldOutBatch, Paired, held_out_batches, open_held_out, picture_size
from unpaired.errors import BadInput
from unpaired.images import Images
from unpaired.inference.translator import Translator
from unpaired.metrics import baselines, bootstrap, swd
from unpaired.metrics.bootstrap import Interval
from unpaired.metrics.paired import mean_abs_error, psnr, ssim
from unpaired.metrics.segmentation import overlap, water_mask
from unpaired.metrics.words import BASELINES, METRICS
from unpaired.progress import Advance, progress

FORMAT = 1
MODEL = "model"
MOST_WORKERS = 4
"""Batches in memory at once."""
Item, Result = TypeVar("Item"), TypeVar("Result")
Transform = Callable[[Images], Images]
Scores = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """What judging one direction needs to know, the same for the model and for every baseline."""

    held_out: HeldOut
    direction: Direction
    levels: list[int]
    """Short sides of the pyramid's levels, for SWD."""
    water: float | None
    """How much bluer than red water is in the target; None where nothing tells."""

    @property
    def source(self) -> tuple[Path, ...]:
        """The files to translate."""
        return self.held_out.side(self.direction[0])

    @property
    def target(self) -> tuple[Path, ...]:
        """Real pictures of the other domain; the truths, in the same order, where aligned."""
        return self.held_out.side(self.direction[-1])


@dataclass
class Judge:
    """Gathers the scores of one rival in one direction."""

    setting: Setting
    patches: swd.Patches
    per_image: dict[str, np.ndarray] = field(default_factory=dict)

    def see(self, indices: Sequence[int], outputs: Images, truths: Images | None) -> None:
        """Score a batch of outputs, each by itself."""
        self.patches.add(outputs, indices)
        if truths is None:
            return
        scores = {metric.__name__: metric(outputs, truths) for metric in (mean_abs_error, psnr, ssim)}
        if self.setting.water is not None:
            both = overlap(*(water_mask(images, self.setting.water) for images in (outputs, truths)))
            scores |= {"water_in_both": both[0], "water_in_either": both[1]}
        self.note(indices, scores)

    def note(self, indices: Sequence[int], scores: dict[str, torch.Tensor]) -> None:
        """Keep a number per image under its name."""
        for name, values in scores.items():
            kept = self.per_image.setdefault(name, np.zeros(len(self.setting.source)))
            kept[list(indices)] = values.numpy()

    def result(self, real: swd.Patches) -> tuple[Scores, dict[str, Interval]]:
        """Every number, and its interval."""
        held_out, direction = self.setting.held_out, self.setting.direction
        groups = (held_out.groups(direction[0]), held_out.groups(direction[-1]))
        scores, intervals = {}, {}
        for name in ("mean_abs_error", "psnr", "ssim", "cycle_error"):
            if name in self.per_image:
                scores[name] = float(self.per_image[name].mean())
                intervals[name] = bootstrap.mean_interval(self.per_image[name], groups[0])
        both, either = (self.per_image.get(f"water_in_{which}", np.zeros(1)) for which in ("both", "either"))
        if either.sum():
            scores["water_iou"] = float(both.sum() / either.sum())
            intervals["water_iou"] = bootstrap.ratio_interval(both, either, groups[0])
        distance = swd.distance(self.patches, real, groups, together=held_out.aligned)
        scores["swd"], intervals["swd"] = distance.mean, distance.interval
        for size, value, interval in zip(self.setting.levels, distance.levels, distance.intervals, strict=True):
            scores[f"swd_{size}px"], intervals[f"swd_{size}px"] = value, interval
        return scores, intervals


def evaluate(
    model: Path | str | Translator,
    data: Path,
    *,
    out: Path | None = None,
    paired: Paired = "auto",
    limit: int | None = None,
) -> dict[str, Any]:
    """Judge a model, in every direction it has, on testA and testB of a data set.

    Args:
        model: A run, a bundle, or a translator already loaded.
        data: Folder with testA and testB; with trainA and trainB two more baselines are fitted.
        out: JSON file to write.
        paired: Whether testA and testB show the same: see `data.heldout.open_held_out`.
        limit: Judge this many pictures of each domain, spread evenly.

    Returns:
        What the JSON holds: per direction {metric: number}, and `recipe`, `intervals`, `baselines`,
        `baseline_intervals`, `images`.

    Raises:
        BadInput: no model, no test pictures, or pictures that cannot be judged.
    """
    data = Path(data)
    translator = model if not isinstance(model, str | Path) else Translator.load(model)
    held_out = open_held_out(data, paired, limit)
    sizes = [picture_size(path) for path in (*held_out.a, *held_out.b)]
    levels = _levels(held_out, sizes)
    result: dict[str, Any] = {part: {} for part in ("intervals", "baselines", "baseline_intervals", "images")}
    histograms = _Histograms(data)
    total = sum(len(held_out.a) + len(held_out.b) for _ in translator.directions) + histograms.count
    with progress(f"evaluating on {data}", total) as advance:
        for direction in translator.directions:
            setting = Setting(held_out, direction, levels, _water(held_out, translator.to(direction)))
            rivals = _baselines(translator.to(direction), histograms, advance)
            judges = _judge(translator, rivals, setting, advance)
            real = _real_patches(translator.to(direction).channels_out, setting, advance)
            results = dict(zip(judges, side_by_side(lambda judge: judge.result(real), judges.values()), strict=True))
            result |= {direction: _rounded(results[MODEL][0])}
            result["intervals"][direction] = _plain(results.pop(MODEL)[1])
            result["baselines"][direction] = {name: _rounded(scores) for name, (scores, _) in results.items()}
            result["baseline_intervals"][direction] = {name: _plain(spans) for name, (_, spans) in results.items()}
            result["images"][direction] = _per_image(judges[MODEL])
    result["recipe"] = _recipe(model, held_out, sizes, levels, histograms.missing)
    if out is not None:
        write_json(result, Path(out))
    return result


def table(result: dict[str, Any]) -> str:
    """The numbers of `evaluate` for a terminal: the model with its interval, the baselines beside it."""
    lines = []
    for direction, scores in ((d, result[d]) for d in ("AtoB", "BtoA") if d in result):
        rivals = result["baselines"][direction]
        rows = [["", MODEL, "95 %", *(BASELINES[name] for name in rivals), "better"]]
        for name, words in METRICS.items():
            if name in scores:
                span = result["intervals"][direction][name]
                shown = [
                    f"{scores[name]:.{words.digits}f}",
                    f"{span['low']:.{words.digits}f} to {span['high']:.{words.digits}f}",
                    *(f"{r[name]:.{words.digits}f}" if name in r else "-" for r in rivals.values()),
                ]
                rows.append([words.label, *shown, words.better])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        pictures = len(result["images"][direction])
        lines.append(f"{direction[0]} to {direction[-1]}, {pictures} test pictures")
        lines += ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        lines.append("")
    return "\n".join([*lines, *(f"Note: {note}" for note in result["recipe"]["notes"])]).rstrip()


def write_json(result: dict[str, Any], path: Path) -> None:
    """Write beside `path`, then rename.

    Raises:
        BadInput: the place cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` on every item, in order, several at once, each on its share of torch's threads.

    Whole batches side by side, since several threads on one small batch wait for each other longer than they save:
    three times as long on a machine that trains meanwhile.
    """
    threads = torch.get_num_threads()
    workers = min(threads, MOST_WORKERS)

    def alone(item: Item) -> Result:
        torch.set_num_threads(threads // workers)
        with torch.inference_mode():
            return work(item)

    running: deque[Future[Result]] = deque()
    try:
        with ThreadPoolExecutor(workers, thread_name_prefix="evaluate") as pool:
            for item in items:
                running.append(pool.submit(alone, item))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
    finally:
        torch.set_num_threads(threads)


class _Histograms:
    """Histograms of the training sets, each read once, and only where the folders are there."""

    def __init__(self, data: Path) -> None:
        self.files: dict[str, list[Path]] = {}
        for side in ("A", "B"):
            try:
                self.files[side] = domain_files(data, f"train{side}")
            except BadInput:
                self.missing = True
                return
        self.missing = False
        self.known: dict[tuple[str, int], torch.Tensor] = {}

    @property
    def count(self) -> int:
        """Files to read."""
        return 0 if self.missing else sum(map(len, self.files.values()))

    def of(self, side: str, channels: int, advance: Advance) -> torch.Tensor:
        if (side, channels) not in self.known:
            first = not any(known_side == side for known_side, _ in self.known)
            total = torch.zeros(channels, baselines.LEVELS, dtype=torch.long)
            batches = held_out_batches(self.files[side], channels, None, channels)
            for found, pictures in side_by_side(lambda b: (baselines.histogram(b.inputs), len(b.indices)), batches):
                total += found
                advance(pictures if first else 0)
            self.known[side, channels] = total
        return self.known[side, channels]


def _baselines(translator: Translator, histograms: _Histograms, advance: Advance) -> dict[str, Transform]:
    """What needs no network, as functions of the input; without the ones that these channels do not allow."""
    channels, (source, target) = translator.channels_out, (translator.direction[0], translator.direction[-1])
    convertible = baselines.match_channels(torch.zeros(1, translator.channels_in, 1, 1), channels) is not None

    def as_target(images: Images) -> Images:
        converted = baselines.match_channels(images, channels)
        assert converted is not None  # only called where it was found to be convertible
        return converted

    rivals: dict[str, Transform] = {"copy": as_target} if convertible else {}
    if histograms.missing:
        return rivals
    of_target = histograms.of(target, channels, advance)
    colour = baselines.mean_colour(of_target).view(1, -1, 1, 1)
    rivals["mean_colour"] = lambda images: colour.expand(len(images), -1, *images.shape[2:])
    if convertible:
        matching = baselines.matching_table(histograms.of(source, channels, advance), of_target)
        rivals["histogram_matching"] = lambda images: baselines.apply_table(as_target(images), matching)
    return rivals


def _judge(
    translator: Translator, rivals: dict[str, Transform], setting: Setting, advance: Advance
) -> dict[str, Judge]:
    """Every test picture of one direction through the model and every baseline."""
    there = translator.to(setting.direction)
    back = translator.to(_opposite(setting.direction)) if len(translator.directions) == 2 else None
    judges = {name: Judge(setting, _patches(setting, len(setting.source))) for name in (MODEL, *rivals)}

    def judge(batch: HeldOutBatch) -> int:
        translated = there.translate(batch.inputs)
        judges[MODEL].see(batch.indices, translated, batch.truths)
        if back is not None:
            judges[MODEL].note(batch.indices, {"cycle_error": mean_abs_error(back.translate(translated), batch.inputs)})
        for name, rival in rivals.items():
            judges[name].see(batch.indices, rival(batch.inputs), batch.truths)
        return len(batch.indices)

    truths = setting.target if setting.held_out.aligned else None
    batches = held_out_batches(setting.source, there.channels_in, truths, there.channels_out)
    for pictures in side_by_side(judge, batches):
        advance(pictures)
    return judges


def _real_patches(channels: int, setting: Setting, advance: Advance) -> swd.Patches:
    patches = _patches(setting, len(setting.target))

    def gather(batch: HeldOutBatch) -> int:
        patches.add(batch.inputs, batch.indices)
        return len(batch.indices)

    for pictures in side_by_side(gather, held_out_batches(setting.target, channels, None, channels)):
        advance(pictures)
    return patches


def _patches(setting: Setting, images: int) -> swd.Patches:
    return swd.Patches(len(setting.levels), images)


def _opposite(direction: Direction) -> Direction:
    return "BtoA" if direction == "AtoB" else "AtoB"


def _levels(held_out: HeldOut, sizes: list[tuple[int, int]]) -> list[int]:
    smallest = min(range(len(sizes)), key=lambda k: min(sizes[k]))
    try:
        return swd.level_sizes(min(sizes[smallest]))
    except ValueError as error:
        path = (*held_out.a, *held_out.b)[smallest]
        raise BadInput(
            f"{path}: expected at least {swd.SMALLEST_LEVEL} px a side to judge by, got {min(sizes[smallest])}"
        ) from error


def _water(held_out: HeldOut, translator: Translator) -> float | None:
    bounds = held_out.manifest.get("water") or {}
    return bounds.get(translator.direction[-1]) if translator.channels_out == 3 else None


def _per_image(judge: Judge) -> list[dict[str, Any]]:
    shown = [name for name in METRICS if name in judge.per_image]
    return [
        {"name": judge.setting.held_out.name(path)} | _rounded({name: judge.per_image[name][k] for name in shown})
        for k, path in enumerate(judge.setting.source)
    ]


def _rounded(scores: dict[str, Any]) -> Scores:
    return {name: round(float(value), 5) for name, value in scores.items()}


def _plain(intervals: dict[str, Interval]) -> dict[str, dict[str, float]]:
    return {
        name: {"low": round(span.low, 5), "high": round(span.high, 5), "n": span.n} for name, span in intervals.items()
    }


def _recipe(
    model: Path | str | Translator,
    held_out: HeldOut,
    sizes: list[tuple[int, int]],
    levels: list[int],
    no_training: bool,
) -> dict[str, Any]:
    """All that the numbers depend on, so that they can be had again."""
    named = isinstance(model, str | Path)
    groups = {side: held_out.groups(side) for side in ("A", "B")}
    return {
        "format": FORMAT,
        "unpaired": __version__,
        "torch": torch.__version__,
        "model": str(model) if named else "a translator in memory",
        "model_sha256": _sha256(Path(model)) if named else None,
        "data": str(held_out.root),
        "data_name": held_out.manifest.get("name"),
        "data_sha256": held_out.manifest.get("sha256"),
        "n": {"A": len(held_out.a), "B": len(held_out.b)},
        "sizes": dict(Counter(f"{width}x{height}" for width, height in sizes).most_common()),
        "resize": "none: every picture at its own size",
        "quantisation": "outputs rounded to 8 bits before they are judged; the way back starts from unrounded ones",
        "aligned": held_out.aligned,
        "aligned_decided": held_out.decided,
        "water_bluer_than_red_by": held_out.manifest.get("water"),
        "bootstrap": {
            "level": bootstrap.LEVEL,
            "draws": bootstrap.DRAWS,
            "seed": bootstrap.SEED,
            "groups": {side: len(set(g)) if g else None for side, g in groups.items()},
        },
        "swd": {
            "levels": levels,
            "projections": swd.PROJECTIONS,
            "neighbourhood": swd.SIDE,
            "per_image": {side: swd.per_image(len(held_out.side(side))) for side in ("A", "B")},
            "seed": 0,
            "interval": f"1.96 deviations of {swd.HALVES} half-samples",
        },
        "notes": _notes(held_out, groups["A"], no_training),
    }


def _notes(held_out: HeldOut, groups: list[str] | None, no_training: bool) -> list[str]:
    notes = ["intervals cover the choice of test pictures, not the luck of training: train with several seeds for that"]
    if not held_out.aligned:
        notes.append(
            f"testA and testB are not pairs ({held_out.decided}), so there is no truth to compare with: "
            f"no mean_abs_error, psnr, ssim or water_iou"
        )
    if groups:
        notes.append(f"test tiles overlap; intervals draw {len(set(groups))} groups of tiles, not single tiles")
    if no_training:
        notes.append("no trainA and trainB, so mean colour and histogram matching could not be fitted")
    return notes


def _sha256(model: Path) -> str | None:
    file = model / "bundle.safetensors" if model.is_dir() else model
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
