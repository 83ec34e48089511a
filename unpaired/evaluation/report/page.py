"""`report.html`: one file that tells a whole run, readable anywhere and asking nothing of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader

from unpaired.core.errors import BadInput
from unpaired.core.files import write_text
from unpaired.core.progress import duration
from unpaired.core.version import __version__
from unpaired.data.folders import has_domain, images_of
from unpaired.data.heldout import HeldOut, open_held_out
from unpaired.data.manifest import read_manifest
from unpaired.evaluation.report.curves import draw_charts
from unpaired.evaluation.report.gallery import Gallery, gallery
from unpaired.evaluation.report.images import grid_uri
from unpaired.evaluation.report.numbers import tables
from unpaired.evaluation.report.records import LogLine, read_evaluation, read_log
from unpaired.experiment import read_experiment, to_dict
from unpaired.inference.translator import Translator

REPORT = "report.html"
SAMPLE = re.compile(r"step-(\d+)_(AtoB|BtoA)\.png$")
DIRECTIONS = {"AtoB": "A to B", "BtoA": "B to A"}


def write_report(
    run: Path,
    evaluation: Mapping[str, Any] | None = None,
    data: Path | None = None,
    translator: Translator | None = None,
) -> Path:
    """Write `report.html` into a run's folder; returns its path.

    What is not there yet (an evaluation, samples, test images, weights) leaves a gap in the page that says so.

    Args:
        run: The run's folder, with its `config.yaml`.
        evaluation: What `evaluate` returned; the run's `evaluation.json` unless given.
        data: The data set's folder; that of the run's settings unless given.
        translator: The trained model, where it is loaded already.

    Raises:
        BadInput: not a run's folder, or a file in it that cannot be read.
    """
    run = Path(run)
    config = _settings(run / "config.yaml")
    evaluation = evaluation if evaluation is not None else read_evaluation(run / "evaluation.json")
    data = Path(data) if data is not None else _data_root(config)
    log = read_log(run / "metrics.jsonl")
    manifest = read_manifest(data) if data is not None else {}
    galleries, missing = _galleries(run, data, evaluation, translator)
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            config=config,
            directions=DIRECTIONS,
            facts=_facts(config, manifest, data, log),
            data_name=_data_name(manifest, data),
            tables=tables(evaluation),
            recipe=evaluation.get("recipe", {}),
            findings=_findings(log),
            charts=draw_charts(log, least_squares=_is_least_squares(config)),
            samples=_samples(run / "samples"),
            galleries=galleries,
            missing=missing,
            settings=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
            recipe_text=yaml.safe_dump(evaluation["recipe"], sort_keys=False) if "recipe" in evaluation else "",
            version=__version__,
        )
    )
    path = run / REPORT
    write_text(path, page)
    return path


def _environment() -> Environment:
    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _facts(
    config: Mapping[str, Any], manifest: Mapping[str, Any], data: Path | None, log: Sequence[LogLine]
) -> list[tuple[str, str]]:
    """What was trained on what, as (name, value); only what is known."""
    method, optim, runtime = (config.get(part) or {} for part in ("method", "optim", "runtime"))
    generator, last = method.get("generator") or {}, log[-1] if log else {}
    counts = _counts(manifest, data)
    training = [f"{counts[f'train{side}']} of {side}" for side in "AB" if f"train{side}" in counts]
    testing = [f"{counts[f'test{side}']} of {side}" for side in "AB" if f"test{side}" in counts]
    source = manifest.get("source")
    facts = {
        "Data": _data_name(manifest, data),
        "Licence": source.get("licence", "") if isinstance(source, dict) else "",
        "Training images": ", ".join(training),
        "Test images": ", ".join(testing),
        "Method": method.get("name", ""),
        "Generator": ", ".join(f"{key} {value}" for key, value in generator.items() if key in ("width", "blocks")),
        "Steps": f"{last['step']:,}" if "step" in last else "",
        "Epochs": str(last.get("epoch", "")),
        "Batch": str((config.get("data") or {}).get("batch", "")),
        "Learning rate": str(optim.get("lr", "")),
        "Seed": str(runtime.get("seed", "")),
        "Best on test images": _best(log),
        "Time": duration(_seconds(log)) if log else "",
    }
    return [(name, str(value)) for name, value in facts.items() if value != ""]


def _best(log: Sequence[LogLine]) -> str:
    """The step whose bundle is kept as the best, and by what; empty where training did not judge."""
    judged = next((line["judged"] for line in reversed(log) if "judged" in line), None)
    if judged is None:
        return ""
    best = judged["best"]
    return f"step {best['step']:,}, mean KID {best['mean_kid']:.4f} ({judged['features']})"


def _is_least_squares(config: Mapping[str, Any]) -> bool:
    return (config.get("method") or {}).get("adversarial", "least-squares") == "least-squares"


def _seconds(log: Sequence[LogLine]) -> float:
    """Time spent training: every resumed stretch counts its own seconds from 0."""
    times = [float(line.get("seconds", 0)) for line in log]
    return sum(now for now, after in zip(times, [*times[1:], 0.0], strict=True) if after < now)


def _counts(manifest: Mapping[str, Any], data: Path | None) -> dict[str, int]:
    if isinstance(manifest.get("counts"), dict):
        return dict(manifest["counts"])
    counts = {}
    for folder in ("trainA", "trainB", "testA", "testB"):
        if data is not None and has_domain(data, folder):
            counts[folder] = len(images_of(data, folder))
    return counts


def _data_name(manifest: Mapping[str, Any], data: Path | None) -> str:
    return str(manifest.get("name") or (data.name if data is not None else ""))


def _data_root(config: Mapping[str, Any]) -> Path | None:
    root = (config.get("data") or {}).get("root")
    return Path(root) if root and Path(root).is_dir() else None


def _samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Sample grids through training, per direction: the first, the quarters and the last."""
    by_direction: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("step-*_*.png")):
        match = SAMPLE.search(path.name)
        if match:
            by_direction.setdefault(match[2], []).append((int(match[1]), path))
    shown = {}
    for direction, found in sorted(by_direction.items()):
        chosen = sorted({round(quarter * (len(found) - 1) / 4) for quarter in range(5)})
        shown[direction] = []
        for step, path in (found[index] for index in chosen):
            uri, (width, height) = grid_uri(path)
            shown[direction].append({"step": step, "uri": uri, "width": width, "height": height})
    return shown


def _galleries(
    run: Path, data: Path | None, evaluation: Mapping[str, Any], translator: Translator | None
) -> tuple[list[Gallery], str]:
    """A gallery per direction; where there can be none, why."""
    if data is None:
        return [], "The data set is not at hand, so no test images are shown."
    try:
        held_out = _held_out(data, evaluation)
        translator = translator or Translator.load(run, runtime="torch")
    except BadInput as error:
        return [], f"No test images: {error}."
    images = evaluation.get("images", {})
    return [gallery(translator.to(d), held_out, images.get(d, [])) for d in translator.directions], ""


def _findings(log: Sequence[LogLine]) -> list[dict[str, Any]]:
    """What the doctor of training said, each once: its last words, and from which step to which it was so."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for line in log:
        for finding in line.get("findings", []):
            key = (finding["symptom"], finding["where"])
            first = seen.get(key, {"first": line["step"]})["first"]
            where = DIRECTIONS.get(finding["where"], finding["where"])
            seen[key] = {**finding, "where": where, "first": first, "last": line["step"]}
    return list(seen.values())


def _held_out(data: Path, evaluation: Mapping[str, Any]) -> HeldOut:
    """The test images, paired as the evaluation had them."""
    if "recipe" not in evaluation:
        return open_held_out(data)
    return open_held_out(data, "yes" if evaluation["recipe"].get("aligned") else "no")


def _settings(path: Path) -> dict[str, Any]:
    """A run's `config.yaml` with every setting, absent ones by default."""
    try:
        return to_dict(read_experiment(path))
    except BadInput as error:
        raise BadInput(f"{error}; expected the settings of a run") from error
