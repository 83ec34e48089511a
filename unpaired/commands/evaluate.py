"""Judging a model on held-out images."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional


def evaluate(
    model: Annotated[Path, Positional],
    data: Annotated[Path, Positional],
    *,
    out: Path | None = None,
    paired: Literal["auto", "yes", "no"] = "auto",
    limit: int | None = None,
) -> None:
    """Judge a model on testA and testB: JSON on stdout, a table on stderr; a run's report is renewed.

    Args:
        model: A run's folder, a bundle or an exported file.
        data: Folder with testA and testB.
        out: Also write the JSON, with every image's numbers, to this file.
        paired: Whether equal names mean the same place; auto asks the data set's own description.
        limit: Judge only this many images of each domain.
    """
    from unpaired.evaluation import evaluate, table
    from unpaired.evaluation.report import write_report

    kept = model / "evaluation.json" if model.is_dir() and out is None else out
    result = evaluate(model, data, out=kept, paired=paired, limit=limit)
    if (model / "config.yaml").is_file():  # a run, not the folder of a converted bundle
        write_report(model, evaluation=result, data=data)
    print(table(result), file=sys.stderr)
    print(json.dumps({key: value for key, value in result.items() if key != "images"}))
