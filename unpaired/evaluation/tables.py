"""The numbers as people read them in a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from unpaired.data.manifest import directions_of
from unpaired.evaluation.scores import MODEL
from unpaired.metrics.evidence import span_text
from unpaired.metrics.words import BASELINES, METRICS


def table(result: dict[str, Any], width: int = 80) -> str:
    """The numbers of `evaluate` for a terminal of `width` columns: the model with its interval, and the baselines.

    The baselines stand beside the model where that fits, else below it.
    """
    lines, directions = [], directions_of(result["recipe"])
    for direction, scores in ((d, result[d]) for d in ("AtoB", "BtoA") if d in result):
        baselines = result["baselines"][direction]
        rows = [["", MODEL, "95 %", *(BASELINES[name] for name in baselines), "better"]]
        for name, words in METRICS.items():
            if name in scores:
                span = result["intervals"][direction][name]
                shown = [
                    f"{scores[name]:.{words.digits}f}",
                    span_text(span, words.digits),
                    *(f"{r[name]:.{words.digits}f}" if name in r else "-" for r in baselines.values()),
                ]
                rows.append([words.label, *shown, words.better])
        images = len(result["images"][direction])
        lines.append(f"{directions[direction]}, {images} test images")
        lines += [*_laid_out(rows, width), ""]
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
