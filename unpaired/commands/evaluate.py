"""The evaluation of a model on test images."""

from __future__ import annotations

import json as text
import os
import sys
from pathlib import Path
from typing import Literal

from unpaired.commands.arguments import File, Folder
from unpaired.config import Scale


def evaluate(
    model: Path,
    data: Folder,
    *,
    out: File | None = None,
    json: bool = False,
    at: int | None = None,
    paired: Literal["auto", "yes", "no"] = "auto",
    limit: int | None = None,
    device: str = "auto",
    scale: Scale = "own",
) -> None:
    """Evaluate a model on test images.

    The numbers and the report of a run are renewed in its folder.

    A terminal gets a table. A pipe gets JSON, with the table on stderr.

    Args:
        model: A run's folder, a bundle or an exported file.
        data: Folder with testA and testB.
        out: Write the JSON, with the numbers of every image, to this file.
        json: Print JSON on a terminal, too.
        at: Evaluate the run's kept checkpoint of this step; the run's report stays as it is.
        paired: Whether testA and testB show the same under the same names; auto decides by the data set.
        limit: Evaluate only this many images of each domain.
        scale: own size of each image, or train: both domains at that of training images, as by the official test.py.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.

    Example:
        unpaired evaluate runs/mine data
    """
    from unpaired.checkpoints.run_state import checkpoint_of
    from unpaired.core.progress import terminal_width
    from unpaired.evaluation import evaluate, table

    weights = model if at is None else checkpoint_of(model, f"step {at}", step=at)
    result = evaluate(weights, data, out=out, paired=paired, limit=limit, device=device, scale=scale)
    if at is None:
        _keep(model, data, result, out, device)
    as_json = json or not sys.stdout.isatty()
    print(table(result, terminal_width()), file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(text.dumps({key: value for key, value in result.items() if key != "images"}))


def _keep(model: Path, data: Path, result: dict, out: Path | None, device: str) -> None:
    """Write the numbers and the report of a run into its folder, where it can be written."""
    from unpaired.evaluation import write_json
    from unpaired.evaluation.report import write_report
    from unpaired.training.logging import log_evaluation

    if not model.is_dir():
        return
    if not os.access(model, os.W_OK):
        print(f"note: {model} cannot be written: its report stays as it is", file=sys.stderr)
        return
    if out is None:
        write_json(result, model / "evaluation.json")
    if (model / "config.yaml").is_file():  # a run, not the folder of a converted bundle
        write_report(model, evaluation=result, data=data, device=device)
        log_evaluation(model, result)
