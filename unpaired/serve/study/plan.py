"""What a participant sees, in order: decided by the study's seed and the participant's code alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from unpaired.serve.study.prepare import Study

Kind = Literal["practice", "scored", "check"]
Side = Literal["left", "right"]


@dataclass(frozen=True)
class Trial:
    """Two images side by side."""

    kind: Kind
    left: str
    right: str
    real: Side
    """Where the real one is."""


def trials(study: Study, algorithm: str, code: str) -> list[Trial]:
    """Practice first, then the scored trials with the checks among them, for the participant `code`.

    Every pair of the algorithm is shown once before one is shown twice.
    """
    rng = Random(f"{study.seed}/{algorithm}/{code}")
    drawn: list[tuple[str, str]] = []
    while len(drawn) < study.practice + study.scored:
        drawn += rng.sample(study.pairs[algorithm], len(study.pairs[algorithm]))
    drawn = drawn[: study.practice + study.scored]
    practice = [_trial("practice", pair, rng) for pair in drawn[: study.practice]]
    others = [_trial("scored", pair, rng) for pair in drawn[study.practice :]]
    others += [_trial("check", pair, rng) for pair in study.obvious]
    rng.shuffle(others)
    return practice + others


def algorithm_for(study: Study, code: str, started: Sequence[str]) -> str:
    """The algorithm that the fewest sessions have been started with; among equals one chosen by the code."""
    fewest = min(started.count(name) for name in study.pairs)
    return Random(f"{study.seed}/{code}").choice([name for name in study.pairs if started.count(name) == fewest])


def _trial(kind: Kind, pair: tuple[str, str], rng: Random) -> Trial:
    real, fake = pair
    return Trial(kind, real, fake, "left") if rng.random() < 0.5 else Trial(kind, fake, real, "right")
