"""The numbers as people read them in a terminal."""

from __future__ import annotations

from typing import Any

from unpaired.evaluation.scores import MODEL
from unpaired.metrics.evidence import span_text
from unpaired.metrics.words import BASELINES, METRICS


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
                    span_text(span, words.digits),
                    *(f"{r[name]:.{words.digits}f}" if name in r else "-" for r in rivals.values()),
                ]
                rows.append([words.label, *shown, words.better])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        images = len(result["images"][direction])
        lines.append(f"{direction[0]} to {direction[-1]}, {images} test images")
        lines += ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        lines.append("")
    return "\n".join([*lines, *(f"Note: {note}" for note in result["recipe"]["notes"])]).rstrip()
