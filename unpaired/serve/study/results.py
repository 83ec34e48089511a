"""What came out: how often a fake was taken for the real image, as in Table 1 of the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.metrics import bootstrap
from unpaired.serve.study.ledger import Session, read_sessions
from unpaired.serve.study.plan import Kind
from unpaired.serve.study.prepare import Study, open_study

CHECKS_MISSED = 1
"""Who takes more obvious fakes than this for real is left out."""
Z = 1.959964
"""The normal distribution's 97.5th percentile."""


@dataclass(frozen=True)
class Result:
    """One algorithm's; rates from 0 to 1."""

    algorithm: str
    participants: int
    """Finished, and passed the checks: whom the numbers rest on."""
    excluded: int
    """Finished, but failed the checks."""
    unfinished: int
    trials: int
    rate: float | None
    """Share of scored trials in which the fake was taken for real, mean over participants."""
    standard_error: float | None
    """Of that mean: standard deviation over participants divided by the root of their number; from two on."""
    low: float | None
    high: float | None
    interval: str
    """How the 95 % interval was made."""


def study_results(folder: Path) -> list[Result]:
    """A result for each algorithm of a study's folder; `BadInput` if it is none, or its record is damaged."""
    study = open_study(folder)
    return results(study, read_sessions(folder, study))


def results(study: Study, sessions: list[Session]) -> list[Result]:
    """A result for each algorithm."""
    return [_result(name, [each for each in sessions if each.algorithm == name]) for name in study.pairs]


def fooled(session: Session, kind: Kind) -> int:
    """How often the fake was taken for real in the trials of a kind."""
    answered = zip(session.trials, session.choices, strict=False)
    return sum(trial.kind == kind and choice != trial.real for trial, choice in answered)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson, 1927): also near 0 and 1 it stays inside and is not empty."""
    share, spread = successes / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _result(algorithm: str, sessions: list[Session]) -> Result:
    finished = [each for each in sessions if each.finished]
    counted = [each for each in finished if fooled(each, "check") <= CHECKS_MISSED]
    numbers = len(counted), len(finished) - len(counted), len(sessions) - len(finished)
    if not counted:
        return Result(algorithm, *numbers, 0, None, None, None, None, "none: nobody to count")
    scored = sum(trial.kind == "scored" for trial in counted[0].trials)
    rates = np.array([fooled(each, "scored") / scored for each in counted])
    rate, trials = float(rates.mean()), scored * len(counted)
    if len(counted) == 1:
        low, high = wilson(fooled(counted[0], "scored"), scored)
        return Result(algorithm, *numbers, trials, rate, None, low, high, "Wilson, over the trials of one participant")
    spread = bootstrap.mean(rates).interval
    error = float(rates.std(ddof=1) / math.sqrt(len(rates)))
    how = "percentile bootstrap over participants"
    return Result(algorithm, *numbers, trials, rate, error, spread.low, spread.high, how)


def rows(found: list[Result]) -> list[tuple[str, ...]]:
    """The table: a head, then a row for each algorithm; rates in per cent."""
    head = ("algorithm", "taken for real, %", "95 % interval", "participants", "left out", "unfinished", "trials")
    return [head, *(_row(each) for each in found)]


def _row(each: Result) -> tuple[str, ...]:
    numbers = tuple(map(str, (each.participants, each.excluded, each.unfinished, each.trials)))
    if each.rate is None or each.low is None or each.high is None:
        return (each.algorithm, "–", "–", *numbers)
    error = f" ± {100 * each.standard_error:.1f}" if each.standard_error is not None else ""
    return (each.algorithm, f"{100 * each.rate:.1f}{error}", f"{100 * each.low:.1f} to {100 * each.high:.1f}", *numbers)


def text(found: list[Result]) -> str:
    """The table for a terminal."""
    table = rows(found)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    how = sorted({each.interval for each in found if each.rate is not None})
    return "\n".join([*lines, *(f"Intervals: {each}." for each in how)])
