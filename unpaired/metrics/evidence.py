"""Which claims a number of test images supports. One rule for every table, report, card and README.

Below `FEWEST` independent images there is a value, but no interval and no verdict. Below `FEW` there is an interval
with a warning, since percentile intervals of few images are too narrow. A model is better or worse than a baseline
only where the interval of their difference over the same images excludes 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from unpaired.core.errors import counted
from unpaired.metrics.bootstrap import Interval
from unpaired.metrics.words import BASELINES, METRICS

FEWEST = 10
"""Independent images (groups, where images overlap) below which no interval is given."""
FEW = 30
"""Independent images below which an interval carries a warning."""
TOO_FEW = "too few for an interval"

Span = Mapping[str, float]
"""An interval as JSON holds it: n, independent and, from `FEWEST` independent images on, low and high."""
Standing = Literal["ahead", "even", "behind", "unknown", "alone"]


@dataclass(frozen=True)
class Verdict:
    """How a model compares with the baselines."""

    text: str
    standing: Standing


def as_span(interval: Interval) -> dict[str, float]:
    """An interval as JSON, to 5 digits; without ends where too few independent images support it."""
    counts: dict[str, float] = {"n": interval.n, "independent": interval.independent}
    if interval.independent < FEWEST:
        return counts
    return {"low": round(interval.low, 5), "high": round(interval.high, 5), **counts}


def is_known(span: Span | None) -> bool:
    """Whether the interval has ends."""
    return bool(span) and "low" in span and "high" in span


def span_text(span: Span | None, digits: int) -> str:
    """An interval in words: `41.9 to 48.4`, or that there are too few images; empty without one."""
    if not span:
        return ""
    return f"{span['low']:.{digits}f} to {span['high']:.{digits}f}" if is_known(span) else TOO_FEW


def warning(independent: int) -> str:
    """The warning for so few independent test images; empty where they are enough."""
    images = counted(independent, "independent test image")
    if independent < FEWEST:
        return f"{images}: no intervals and no verdicts below {FEWEST}; numbers of so few images say little"
    if independent < FEW:
        return f"{images}: intervals of fewer than {FEW} are too narrow"
    return ""


def compare(name: str, baselines: Mapping[str, Any], differences: Mapping[str, Mapping[str, Span]]) -> Verdict:
    """The model beside the scores of every baseline that has the metric `name`.

    `differences` are intervals of model minus baseline, by baseline; only those that exclude 0 count.
    """
    compared = [baseline for baseline, scores in baselines.items() if name in scores]
    if not compared:
        return Verdict("", "alone")
    spans = {baseline: differences.get(baseline, {}).get(name) for baseline in compared}
    if not any(is_known(span) for span in spans.values()):
        return Verdict("", "unknown")
    ahead = [baseline for baseline, span in spans.items() if _one_sided(span) == METRICS[name].better]
    behind = [baseline for baseline, span in spans.items() if _one_sided(span) not in ("", METRICS[name].better)]
    if behind:
        return Verdict(f"behind {_listed(behind)}", "behind")
    if len(ahead) == len(compared):
        return Verdict(f"better than {'every baseline' if len(compared) > 1 else _listed(ahead)}", "ahead")
    even = [baseline for baseline in compared if baseline not in ahead]
    return Verdict(f"about as good as {_listed(even)}", "even")


def _one_sided(span: Span | None) -> str:
    """Whether the whole interval is `lower` or `higher` than 0; empty where it holds 0 or is unknown."""
    if not (span and is_known(span)) or span["low"] <= 0 <= span["high"]:
        return ""
    return "higher" if span["low"] > 0 else "lower"


def _listed(names: list[str]) -> str:
    shown = [BASELINES.get(name, name) for name in names]
    return " and ".join([*([", ".join(shown[:-1])] if shown[1:] else []), shown[-1]])
