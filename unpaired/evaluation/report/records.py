"""What a run wrote of itself, read again: its log and its evaluation, each checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from unpaired.core.errors import BadInput, brief, first_problem
from unpaired.core.safe_text import json_lines, read_json

FORMAT = 1
"""Of a line of `metrics.jsonl` and of an `evaluation.json`'s recipe; newer ones are refused."""
MOST_LINES = 10_000
"""Lines of a log kept to draw from, at least; twice as many at most."""
Number = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
Scores = dict[str, Number]


class FindingLine(TypedDict):
    """Something the doctor of training saw."""

    symptom: str
    where: str
    seen: str
    images: list[str]
    advice: str


class BestLine(TypedDict):
    """The best validation so far."""

    step: Annotated[int, Field(ge=0, le=10**15)]
    mean_kid: Number


class ValidationLine(TypedDict):
    """A validation on test images during training, by direction."""

    features: Annotated[str, Field(max_length=100)]
    kid: Annotated[Scores, Field(max_length=2)]
    cycle_error: Annotated[Scores, Field(max_length=2)]
    best: BestLine


class LogLine(TypedDict, total=False):
    """A line of `metrics.jsonl`."""

    step: Required[Annotated[int, Field(ge=0, le=10**15)]]
    total: Annotated[int, Field(ge=0, le=10**15)]
    epoch: int
    lr: Number
    images_per_second: Number
    seconds: Number
    losses: Annotated[Scores, Field(max_length=100)]
    validation: ValidationLine
    findings: Annotated[list[FindingLine], Field(max_length=100)]


class RunFacts(TypedDict, total=False):
    """What a training records of its start in `run.json`."""

    device: Annotated[str, Field(max_length=300)]
    started: Annotated[float, Field(ge=0, le=1e11)]
    changes: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=100)]
    """Of settings, with `--allow-config-change`."""


class Span(TypedDict):
    """An interval, and how many images it rests on; without ends where these are too few."""

    low: NotRequired[Number]
    high: NotRequired[Number]
    n: int
    independent: int


class ImageScores(TypedDict, total=False):
    """What one test image is ranked by."""

    name: Required[str]
    mean_abs_error: Number
    cycle_error: Number


class Recipe(TypedDict, total=False):
    """How the numbers were taken, with notes for people."""

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]
    aligned: bool
    notes: list[str]


class Evaluation(TypedDict, total=False):
    """What `evaluation.json` holds, as far as the page shows it."""

    AtoB: Scores
    BtoA: Scores
    recipe: Recipe
    intervals: dict[str, dict[str, Span]]
    baselines: dict[str, dict[str, Scores]]
    baseline_intervals: dict[str, dict[str, dict[str, Span]]]
    differences: dict[str, dict[str, dict[str, Span]]]
    images: dict[str, list[ImageScores]]


_LOG_LINE, _EVALUATION, _RUN = TypeAdapter(LogLine), TypeAdapter(Evaluation), TypeAdapter(RunFacts)


def read_evaluation(path: Path) -> dict[str, Any]:
    """An `evaluation.json`, empty where there is none; `BadInput` if it is not what `unpaired evaluate` writes."""
    evaluation: dict[str, Any] = dict(_read(_EVALUATION, path, "`unpaired evaluate` writes", "run it again"))
    _check_format(evaluation.get("recipe", {}), path)
    return evaluation


def read_run_facts(path: Path) -> RunFacts:
    """A run's `run.json`, empty where there is none; `BadInput` if it is not what training writes."""
    return _read(_RUN, path, "training writes", "remove it")


def read_log(path: Path) -> list[LogLine]:
    """The lines of a `metrics.jsonl`, evenly thinned where there are more than a chart can show; none without one.

    Raises `BadInput` if a line is not what training writes.
    """
    if not path.exists():
        return []
    lines: list[LogLine] = []
    try:
        for _, values in json_lines(path):
            _check_format(values, path)
            lines.append(_LOG_LINE.validate_python(values, strict=True))
            if len(lines) == 2 * MOST_LINES:
                lines = lines[1::2]
    except ValidationError as error:
        raise BadInput(f"{path}: not what training writes ({first_problem(error)})") from error
    return lines


def _read(kind: TypeAdapter[Any], path: Path, what: str, advice: str) -> Any:
    """A JSON file of this kind, empty where there is none."""
    try:
        return kind.validate_python(read_json(path), strict=True) if path.exists() else {}
    except ValidationError as error:
        raise BadInput(f"{path}: not what {what} ({first_problem(error)}); {advice}") from error


def _check_format(values: Mapping[str, Any], path: Path) -> None:
    version = values.get("format", FORMAT)
    if type(version) is not int or version > FORMAT:
        raise BadInput(f"{path}: format {brief(version)}, this version reads up to {FORMAT}; upgrade unpaired")
