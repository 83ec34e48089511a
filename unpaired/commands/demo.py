"""The demonstration: the whole way on real images, each step the command a user would give."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from unpaired.commands.arguments import Folder
from unpaired.config import DIRECTIONS

SHIPPED = "earth"
GLOBE_WIDTH = 2700
"""Pixels, half as many as the globe had whose tiles the model was trained on; it takes images of any size."""


def demo(out: Folder = Path("demo"), *, steps: int | None = None, seed: int = 0, device: str = "auto") -> None:
    """Translate a globe, then train on Earth, translate and evaluate, in minutes.

    The same command resumes.

    Args:
        out: Folder of the data, the run and the translations.
        steps: Training steps; fewer are faster.
        seed: Seed of every random number.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.

    Example:
        unpaired demo
    """
    from unpaired.checkpoints.shipped import shipped_models
    from unpaired.core.progress import duration, terminal_width
    from unpaired.data.manifest import MANIFEST
    from unpaired.data.prepare.earth import prepare_earth
    from unpaired.evaluation import evaluate, table
    from unpaired.evaluation.report import write_report
    from unpaired.experiment import with_root, with_settings
    from unpaired.inference import Translator, translate_files
    from unpaired.presets import earth
    from unpaired.training import train
    from unpaired.training.logging import log_evaluation

    start = time.monotonic()
    data, run = out / "data", out / "run"
    if SHIPPED in shipped_models():
        _translate_globe(out, device)
    if not (data / MANIFEST).exists():
        _say(f"unpaired prepare earth {data}")
        prepare_earth(data)
    settings = {"runtime.seed": seed, "runtime.device": device} | ({"optim.steps": steps} if steps else {})
    _say(f"unpaired train earth --data {data} --out {run}")
    train(with_settings(with_root(earth(), data), settings), run)
    for direction in DIRECTIONS:
        test = data / f"test{direction[0]}"
        _say(f"unpaired translate {run} {test} {out / direction} --direction {direction}")
        translate_files(Translator.load(run, direction, device=device), str(test), out / direction)
    _say(f"unpaired evaluate {run} {data}")
    result = evaluate(run, data, out=run / "evaluation.json", device=device)
    report = write_report(run, evaluation=result, data=data, device=device)
    log_evaluation(run, result)
    print(table(result, terminal_width()))
    _say(f"done in {duration(time.monotonic() - start)}; look at {report}")


def _translate_globe(out: Path, device: str) -> None:
    """Translate the whole Earth from space to a map with the model that comes with unpaired."""
    from unpaired.core.files import written_whole
    from unpaired.data.prepare.earth import RASTERS, raster_folder, read_globe
    from unpaired.inference import Translator, translate_files

    globe, translated = out / "globe.png", out / "globe-map.png"
    if not translated.exists():
        out.mkdir(parents=True, exist_ok=True)
        raster = read_globe(raster_folder() / f"{RASTERS['satellite-relief'][0]}.jpg", GLOBE_WIDTH)
        with written_whole(globe) as part:
            raster.save(part, "png")
        _say(f"unpaired translate {SHIPPED} {globe} {translated}")
        translate_files(Translator.load(SHIPPED, device=device), str(globe), translated)
    _say(f"look at {translated}: {globe}, translated by a model that comes with unpaired")


def _say(line: str) -> None:
    print(f"\n{line}", file=sys.stderr, flush=True)
