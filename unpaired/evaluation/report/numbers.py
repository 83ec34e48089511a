"""An evaluation in words: what each number means, and how the model stands beside what needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    """ahead, even, behind or alone, for the style sheet."""


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
        rivals = evaluation.get("baselines", {}).get(direction, {})
        spans = evaluation.get("intervals", {}).get(direction, {})
        rows = [_row(name, words, scores, spans, rivals) for name, words in METRICS.items() if name in scores]
        images = max((span["n"] for span in spans.values()), default=0)
        found.append(Table(direction, images, [BASELINES.get(str(name), str(name)) for name in rivals], rows))
    return found


def _row(
    name: str, words: Words, scores: Mapping[str, float], spans: Mapping[str, Any], rivals: Mapping[str, Any]
) -> Row:
    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.{words.digits}f}"

    span = spans.get(name)
    interval = f"{shown(span['low'])} to {shown(span['high'])}" if span else ""
    values = {BASELINES.get(rival, rival): there[name] for rival, there in rivals.items() if name in there}
    verdict, standing = _verdict(words, scores[name], span, values)
    return Row(
        label=words.label,
        meaning=words.meaning,
        better=f"{words.better} is better",
        value=shown(scores[name]),
        interval=interval,
        baselines=[shown(there.get(name)) for there in rivals.values()],
        verdict=verdict,
        standing=standing,
    )


def _verdict(
    words: Words, value: float, span: Mapping[str, float] | None, rivals: Mapping[str, float]
) -> tuple[str, str]:
    """How the model stands against the best baseline; within its interval it is no difference."""
    if not rivals:
        return "", "alone"
    best = (min if words.better == "lower" else max)(rivals, key=lambda rival: rivals[rival])
    if span and span["low"] <= rivals[best] <= span["high"]:
        return f"about as good as {best}", "even"
    ahead = value < rivals[best] if words.better == "lower" else value > rivals[best]
    if ahead:
        return "better than every baseline" if len(rivals) > 1 else f"better than {best}", "ahead"
    return f"behind {best}", "behind"
