"""`evaluate`: a trained model against its test set, beside what needs no network.

Each direction gets every score that its data allow: against the truth where testA and testB show the same
places, against the set of real images always, and by the way there and back where the model has both directions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unpaired.config import Scale
from unpaired.core.device import announce
from unpaired.core.errors import BadInput
from unpaired.core.files import write_text
from unpaired.core.parallel import side_by_side
from unpaired.core.progress import Advance, progress
from unpaired.data.heldout import HeldOut, Paired, image_size, open_held_out
from unpaired.evaluation.baselines import Histograms, fitted
from unpaired.evaluation.recipe import load_for_scoring, recipe
from unpaired.evaluation.scores import MODEL, ImageScores, Scores, Setting, real_patches, score_direction
from unpaired.evaluation.tables import table
from unpaired.inference.translator import Translator
from unpaired.metrics import swd
from unpaired.metrics.bootstrap import Estimate
from unpaired.metrics.evidence import as_span
from unpaired.metrics.words import METRICS

__all__ = ["evaluate", "table", "write_json"]


def evaluate(
    model: Path | str | Translator,
    data: Path,
    *,
    out: Path | None = None,
    paired: Paired = "auto",
    limit: int | None = None,
    device: str = "auto",
    scale: Scale | None = None,
) -> dict[str, Any]:
    """Evaluate a model, in every direction it has, on testA and testB of a data set.

    Args:
        model: A run, a bundle, an exported file, or a translator already loaded.
        data: Folder with testA and testB; with trainA and trainB two more baselines are fitted.
        out: JSON file to write.
        paired: Whether testA and testB show the same under the same names: yes, no, or auto by the data set.
        limit: Evaluate this many images of each domain, spread evenly.
        device: Where the model runs unless it is a loaded translator: auto, cpu, cuda, cuda:N or mps.
        scale: Compare at the images' own size (own) or at that of training, to which both domains are resized
            (train, as by the official test.py); unless given that of a loaded translator, else own.

    Returns:
        The content of the JSON: per direction {metric: number}, and `recipe`, `intervals`, `baselines`,
        `baseline_intervals`, `differences` (intervals of model minus baseline), `images`.

    Raises:
        BadInput: no model, no test images, images that cannot be compared, or an exported file at the scale of
            training.
    """
    data = Path(data)
    translator = load_for_scoring(model, device) if isinstance(model, str | Path) else model
    translator = translator if scale is None else translator.at(scale)
    held_out = open_held_out(data, paired, limit, translator.data.pages)
    if isinstance(model, str | Path):
        announce(translator.device)
    found = [image_size(path) for path in (*held_out.a, *held_out.b)]
    sizes = [(across, down) for down, across in (translator.size_of(height, width) for width, height in found)]
    levels = _levels(held_out, sizes)
    histograms = Histograms(data, translator.data.pages)
    total = len(translator.directions) * (len(held_out.a) + len(held_out.b)) + histograms.count
    with progress(f"evaluating on {data}", total) as advance:
        by_direction = {
            direction: _one_direction(translator.to(direction), held_out, levels, histograms, advance)
            for direction in translator.directions
        }
    result: dict[str, Any] = {direction: parts.pop("numbers") for direction, parts in by_direction.items()}
    result["recipe"] = recipe(model, translator, held_out, sizes, levels, histograms.missing)
    for part in ("intervals", "baselines", "baseline_intervals", "differences", "images"):
        result[part] = {direction: parts[part] for direction, parts in by_direction.items()}
    if out is not None:
        write_json(result, Path(out))
    return result


def _one_direction(
    translator: Translator, held_out: HeldOut, levels: list[int], histograms: Histograms, advance: Advance
) -> dict[str, Any]:
    """The model and every baseline in the translator's direction, by part of the JSON."""
    water = held_out.manifest.get("water") if translator.channels_out == 3 else None
    setting = Setting(held_out, translator.direction, levels, (water or {}).get(translator.direction[-1]))
    gathered = score_direction(translator, fitted(translator, histograms, advance), setting, advance)
    real = real_patches(translator.domain_out, setting, advance)
    results = dict(zip(gathered, side_by_side(lambda each: each.result(real), gathered.values()), strict=True))
    model = results.pop(MODEL)
    differences = {
        baseline: {name: model[name] - other for name, other in found.items() if name in model}
        for baseline, found in results.items()
    }
    return {
        "numbers": _values(model),
        "intervals": _intervals(model),
        "baselines": {baseline: _values(found) for baseline, found in results.items()},
        "baseline_intervals": {baseline: _intervals(found) for baseline, found in results.items()},
        "differences": {baseline: _intervals(found) for baseline, found in differences.items()},
        "images": _per_image(gathered[MODEL]),
    }


def write_json(result: dict[str, Any], path: Path) -> None:
    """Write beside `path`, then rename; raises `BadInput` where the place cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(result, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


def _levels(held_out: HeldOut, sizes: list[tuple[int, int]]) -> list[int]:
    side, number = min((min(size), number) for number, size in enumerate(sizes))
    try:
        return swd.level_sizes(side)
    except ValueError as error:
        path = (*held_out.a, *held_out.b)[number]
        raise BadInput(f"{path}: expected at least {swd.SMALLEST_LEVEL} px a side, got {side}") from error


def _per_image(scores: ImageScores) -> list[dict[str, Any]]:
    shown = [name for name in METRICS if name in scores.per_image]
    return [
        {"name": scores.setting.held_out.name(path)} | _rounded({name: scores.per_image[name][k] for name in shown})
        for k, path in enumerate(scores.setting.source)
    ]


def _rounded(scores: dict[str, Any]) -> Scores:
    return {name: round(float(value), 5) for name, value in scores.items()}


def _values(found: dict[str, Estimate]) -> Scores:
    return _rounded({name: estimate.value for name, estimate in found.items()})


def _intervals(found: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: as_span(estimate.interval) for name, estimate in found.items()}
