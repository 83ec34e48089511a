"""Several runs on one page: the settings that differ, their numbers, and their translations of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.config import DIRECTIONS, Direction
from unpaired.core.errors import BadInput
from unpaired.core.files import write_text
from unpaired.data.heldout import open_held_out, read_whole, spread
from unpaired.data.manifest import directions_of, read_manifest
from unpaired.evaluation.report.curves import draw
from unpaired.evaluation.report.facts import data_name
from unpaired.evaluation.report.gallery import Embedded, embed, middle
from unpaired.evaluation.report.page import data_root, read_settings, render
from unpaired.evaluation.report.records import LogLine, read_evaluation, read_log
from unpaired.experiment import flatten
from unpaired.inference.translator import Translator
from unpaired.metrics.evidence import span_text
from unpaired.metrics.words import METRICS

SHOWN = 6
"""Test images per direction."""
NOT_COMPARED = ("name", "data.root")


@dataclass(frozen=True)
class Run:
    """One run, read."""

    folder: Path
    label: str
    settings: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    log: list[LogLine]

    def translator(self, device: str) -> Translator:
        """Its model, at the scale of its evaluation."""
        scale = self.evaluation.get("recipe", {}).get("scale", "own")
        return Translator.load(self.folder, runtime="torch", device=device, scale=scale)


def write_comparison(folders: Sequence[Path], out: Path, device: str = "auto") -> Path:
    """Write a page that compares runs side by side, with test images translated on `device`; returns its path.

    Raises `BadInput` for fewer than two runs, or a folder that is no run.
    """
    if len(folders) < 2:
        raise BadInput(f"report: expected at least two runs to compare, got {len(folders)}")
    names = [folder.resolve().name for folder in folders]
    labels = names if len(set(names)) == len(names) else map(str, folders)
    runs = [_read(folder, label) for folder, label in zip(folders, labels, strict=True)]
    data = data_root(runs[0].settings["data.root"])
    manifest = read_manifest(data) if data is not None else {}
    directions = directions_of(manifest)
    page = render(
        "compare.html.j2",
        directions=directions,
        data_name=data_name(manifest, data),
        runs=[run.label for run in runs],
        settings=differing([run.settings for run in runs]),
        tables=[(directions[d], _numbers(runs, d)) for d in DIRECTIONS if any(d in run.evaluation for run in runs)],
        curves=_curves(runs, directions),
        galleries=[(directions[d], _gallery(runs, data, d, device)) for d in DIRECTIONS] if data is not None else [],
    )
    try:
        write_text(out, page)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    return out


def differing(settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """The settings that are not equal in all runs, each with its value in every run."""
    names = list(dict.fromkeys(name for each in settings for name in each if name not in NOT_COMPARED))
    rows = [(name, [str(each.get(name, "–")) for each in settings]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _read(folder: Path, label: str) -> Run:
    settings = flatten(read_settings(folder))
    return Run(folder, label, settings, read_evaluation(folder / "evaluation.json"), read_log(folder / "metrics.jsonl"))


def _numbers(runs: Sequence[Run], direction: Direction) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Rows of (metric, better, per run (value, interval))."""
    rows = []
    for name, words in METRICS.items():
        cells = []
        for run in runs:
            value = run.evaluation.get(direction, {}).get(name)
            span = run.evaluation.get("intervals", {}).get(direction, {}).get(name)
            cells.append(("–", "") if value is None else (f"{value:.{words.digits}f}", span_text(span, words.digits)))
        if any(value != "–" for value, _ in cells):
            rows.append((words.label, f"{words.better} is better", cells))
    return rows


def _curves(runs: Sequence[Run], directions: Mapping[str, str]) -> list[dict[str, Any]]:
    charts = []
    for direction, words in directions.items():
        lines: dict[str, list[tuple[float, float]]] = {}
        for run in runs:
            found = [(line["step"], line["validation"]["kid"]) for line in run.log if "validation" in line]
            line = [(float(step), max(0.0, kid[direction])) for step, kid in found if direction in kid]
            lines |= {run.label: line} if len(line) > 1 else {}
        if lines:
            title = f"KID on test images, {words}"
            charts.append({"title": title, "names": list(lines), "svg": draw(title, lines, noisy=False)})
    return charts


def _gallery(
    runs: Sequence[Run], data: Path, direction: Direction, device: str
) -> list[tuple[str, list[tuple[str, Embedded]]]]:
    """(file, labelled views) of the same test images through every run."""
    held_out = open_held_out(data)
    sources, targets = held_out.side(direction[0]), held_out.side(direction[-1])
    truths = dict(zip(sources, targets, strict=True)) if held_out.aligned else {}
    translators = [(run.label, run.translator(device)) for run in runs]
    translators = [(label, each.to(direction)) for label, each in translators if direction in each.directions]
    shown = []
    for path in spread(sources, SHOWN):
        views = [("input", embed(middle(read_whole(path, each.domain_in)))) for _, each in translators[:1]]
        for label, each in translators:
            views.append((label, embed(each.translate(middle(read_whole(path, each.domain_in))[None])[0])))
        if path in truths:
            views.append(("truth", embed(middle(read_whole(truths[path], translators[0][1].domain_out)))))
        shown.append((held_out.name(path), views))
    return shown if translators else []
