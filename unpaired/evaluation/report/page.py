"""`report.html`: one self-contained file about a run, readable offline."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from unpaired.core.errors import BadInput
from unpaired.core.files import write_text
from unpaired.core.version import __version__
from unpaired.data.heldout import open_held_out
from unpaired.data.manifest import directions_of, domain_names, read_manifest
from unpaired.evaluation.report.curves import draw_charts
from unpaired.evaluation.report.facts import command, data_name, head, progress_line
from unpaired.evaluation.report.gallery import Gallery, embed_grid, gallery
from unpaired.evaluation.report.records import LogLine, read_evaluation, read_log, read_run_facts
from unpaired.evaluation.tables import tables
from unpaired.experiment import Experiment, read_experiment, to_dict
from unpaired.inference.translator import Translator

REPORT = "report.html"
HERE = Path(__file__).parent
SAMPLE = re.compile(r"step-(\d+)_(AtoB|BtoA)\.png$")
REFRESH = 20
"""Seconds after which the page of a living run loads itself again."""
MOST_GRIDS = 12
"""Sample grids per direction, spread evenly over the training."""


def write_report(
    run: Path,
    evaluation: Mapping[str, Any] | None = None,
    data: Path | None = None,
    translator: Translator | None = None,
    live: bool = False,
    device: str = "auto",
) -> Path:
    """Write `report.html` into a run's folder; returns its path.

    What is not there yet (an evaluation, samples, test images, weights) leaves a gap in the page that says so.

    Args:
        run: The run's folder, with its `config.yaml`.
        evaluation: What `evaluate` returned; the run's `evaluation.json` unless given.
        data: The data set's folder; that of the run's settings unless given.
        translator: The trained model, where it is loaded already.
        live: The run is training: the page reloads itself and translates no test images.
        device: Where test images are translated; see `core.device.pick_device`.

    Raises:
        BadInput: not a run's folder, or a file in it that cannot be read.
    """
    run = Path(run)
    config = to_dict(read_settings(run))
    evaluation = evaluation if evaluation is not None else read_evaluation(run / "evaluation.json")
    data = Path(data) if data is not None else data_root(config["data"]["root"])
    log = read_log(run / "metrics.jsonl")
    manifest, facts = read_manifest(data) if data is not None else {}, read_run_facts(run / "run.json")
    directions = directions_of(manifest)
    least_squares = config["method"].get("adversarial", "least-squares") == "least-squares"
    galleries, missing = [], "Shown when training ends."
    if not live:
        galleries, missing = galleries_of(run, data, evaluation, translator, device)
    page = render(
        "page.html.j2",
        name=run.resolve().name,
        live=live,
        refresh=REFRESH,
        progress=progress_line(log),
        command=command(config, run, data),
        directions=directions,
        facts=head(config, manifest, data, log, facts),
        changed=bool(facts.get("changes")),
        data_name=data_name(manifest, data),
        tables=tables(evaluation),
        recipe=evaluation.get("recipe", {}),
        findings=_findings(log, directions),
        charts=draw_charts(log, least_squares, domain_names(manifest)),
        samples=_samples(run / "samples"),
        galleries=galleries,
        missing=missing,
        settings=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        recipe_text=yaml.safe_dump(evaluation["recipe"], sort_keys=False) if "recipe" in evaluation else "",
    )
    write_text(run / REPORT, page)
    return run / REPORT


def render(template: str, **values: Any) -> str:
    """A page of this folder; its one script is allowed by hash, everything else that runs or loads is not."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    values |= {"script": Markup(script), "script_hash": digest, "version": __version__}
    return environment.get_template(template).render(values)


def read_settings(run: Path) -> Experiment:
    """A run's `config.yaml`, absent settings by default; raises `BadInput` if it is not there or cannot be read."""
    try:
        return read_experiment(run / "config.yaml")
    except BadInput as error:
        raise BadInput(f"{error}; expected the settings of a run") from error


def data_root(root: str) -> Path | None:
    """The data set at `data.root`, where it is at hand."""
    return Path(root) if root and Path(root).is_dir() else None


def galleries_of(
    run: Path, data: Path | None, evaluation: Mapping[str, Any], translator: Translator | None, device: str
) -> tuple[list[Gallery], str]:
    """A gallery per direction; where there can be none, why."""
    if data is None:
        return [], "The data set is not at hand, so no test images are shown."
    try:
        translator = translator or Translator.load(run, runtime="torch", device=device)
        recipe = evaluation.get("recipe")
        pairing = "auto" if recipe is None else "yes" if recipe.get("aligned") else "no"  # as the evaluation had them
        translator = translator.at((recipe or {}).get("scale", "own"))
        held_out = open_held_out(data, pairing, pages=translator.data.pages)
    except BadInput as error:
        return [], f"No test images: {error}."
    images = evaluation.get("images", {})
    return [gallery(translator.to(d), held_out, images.get(d, [])) for d in translator.directions], ""


def _samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Sample grids through training, per direction: the first, the last, and an even choice between."""
    by_direction: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("step-*_*.png")):
        if match := SAMPLE.search(path.name):
            by_direction.setdefault(match[2], []).append((int(match[1]), path))
    shown = {}
    for direction, found in sorted(by_direction.items()):
        last, count = len(found) - 1, min(MOST_GRIDS, len(found))
        chosen = sorted({round(k * last / max(1, count - 1)) for k in range(count)})
        shown[direction] = [{"step": found[k][0], "image": embed_grid(found[k][1])} for k in chosen]
    return shown


def _findings(log: Sequence[LogLine], directions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The doctor's findings, each once: its last words, and from which step to which it was so."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for line in log:
        for finding in line.get("findings", []):
            key = (finding["symptom"], finding["where"])
            first = seen.get(key, {"first": line["step"]})["first"]
            where = directions.get(finding["where"], finding["where"])
            seen[key] = {**finding, "where": where, "first": first, "last": line["step"]}
    return list(seen.values())
