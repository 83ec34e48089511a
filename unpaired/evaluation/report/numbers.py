"""An evaluation in words: what each number means, and how the model compares with the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unpaired.metrics.evidence import compare, span_text
from unpaired.metrics.words import BASELINES, METRICS, Words


@dataclass(frozen=True)
class Row:
    """One number of one direction."""

    label: str
    meaning: str
    better: str
    value: str
    interval: str
    baselines: list[str]
    verdict: str
    standing: str
    """ahead, even, behind, unknown or alone, for the style sheet."""


@dataclass(frozen=True)
class Table:
    """One direction."""

    direction: str
    images: int
    columns: list[str]
    rows: list[Row]


def tables(evaluation: Mapping[str, Any]) -> list[Table]:
    """A table per direction of an evaluation."""
    found = []
    for direction in ("AtoB", "BtoA"):
        scores = evaluation.get(direction)
        if not scores:
            continue
        spans, baselines, differences = (
            evaluation.get(part, {}).get(direction, {}) for part in ("intervals", "baselines", "differences")
        )
        rows = [
            _row(name, words, scores, spans, baselines, differences)
            for name, words in METRICS.items()
            if name in scores
        ]
        images = max((span["n"] for span in spans.values()), default=0)
        found.append(Table(direction, images, [BASELINES.get(str(name), str(name)) for name in baselines], rows))
    return found


def _row(
    name: str,
    words: Words,
    scores: Mapping[str, float],
    spans: Mapping[str, Any],
    baselines: Mapping[str, Any],
    differences: Mapping[str, Any],
) -> Row:
    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.{words.digits}f}"

    verdict = compare(name, baselines, differences)
    return Row(
        label=words.label,
        meaning=words.meaning,
        better=f"{words.better} is better",
        value=shown(scores[name]),
        interval=span_text(spans.get(name), words.digits),
        baselines=[shown(there.get(name)) for there in baselines.values()],
        verdict=verdict.text,
        standing=verdict.standing,
    )
