"""An evaluation as tables, for the report and for a terminal: the model beside its baselines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unpaired.config import DIRECTIONS
from unpaired.data.manifest import directions_of
from unpaired.evaluation.scores import MODEL
from unpaired.metrics.evidence import Verdict, compare, span_text
from unpaired.metrics.words import BASELINES, METRICS, Words


@dataclass(frozen=True)
class Row:
    """One number of one direction, as text."""

    words: Words
    value: str
    interval: str
    baselines: list[str]
    verdict: Verdict


@dataclass(frozen=True)
class Table:
    """One direction."""

    direction: str
    images: int
    columns: list[str]
    """The baselines."""
    rows: list[Row]


def tables(evaluation: Mapping[str, Any]) -> list[Table]:
    """A table per direction of an evaluation."""
    parts = ("intervals", "baselines", "differences")
    found = []
    for direction in (direction for direction in DIRECTIONS if evaluation.get(direction)):
        scores = evaluation[direction]
        spans, baselines, differences = (evaluation.get(part, {}).get(direction, {}) for part in parts)
        rows = []
        for name, words in ((name, words) for name, words in METRICS.items() if name in scores):
            values = [scores[name], *(there.get(name) for there in baselines.values())]
            value, *others = ["–" if value is None else f"{value:.{words.digits}f}" for value in values]
            verdict = compare(name, baselines, differences)
            rows.append(Row(words, value, span_text(spans.get(name), words.digits), others, verdict))
        images = max((span["n"] for span in spans.values()), default=0)
        found.append(Table(direction, images, [BASELINES.get(str(name), str(name)) for name in baselines], rows))
    return found


def table(result: dict[str, Any], width: int = 80) -> str:
    """The numbers of `evaluate` for a terminal of `width` columns: the model with its interval, and the baselines.

    The baselines stand beside the model where that fits, else below it.
    """
    lines, directions = [], directions_of(result["recipe"])
    for found in tables(result):
        rows = [["", MODEL, "95 %", *found.columns, "better"]]
        for row in found.rows:
            others = [value.replace("–", "-") for value in row.baselines]
            rows.append([row.words.label, row.value, row.interval, *others, row.words.better])
        images = len(result["images"][found.direction])
        lines += [f"{directions[found.direction]}, {images} test images", *_laid_out(rows, width), ""]
    notes = [textwrap.fill(f"Note: {note}", width) for note in result["recipe"]["notes"]]
    return "\n".join([*lines, *notes]).rstrip()


def _laid_out(rows: list[list[str]], width: int) -> list[str]:
    """Aligned columns; where they are wider than `width`, those of the model first and the baselines below."""
    whole = _aligned(rows)
    if max(map(len, whole)) <= width:
        return whole
    model, baselines = [[*row[:3], row[-1]] for row in rows], [[row[0], *row[3:-1]] for row in rows]
    return [*_aligned(model), "", *_aligned(baselines)]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
