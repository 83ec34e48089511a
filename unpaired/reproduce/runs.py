"""One training per method and seed, done once, scored once, shared by every table.

OUT/data/labels      trainA and trainB from different places: what unpaired methods see
OUT/data/pairs       the same places in both, for pix2pix and the segmenter
OUT/segmenter.safetensors
OUT/runs/METHOD/seed-N, with scores.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unpaired.config import Direction
from unpaired.core.errors import BadInput
from unpaired.core.files import write_text
from unpaired.data.manifest import MANIFEST
from unpaired.data.prepare.earth import prepare_earth
from unpaired.evaluation.labels import Copying, label_scores
from unpaired.evaluation.segmenter import Segmenter, load_segmenter, train_segmenter
from unpaired.experiment import Experiment
from unpaired.inference.translator import Translator
from unpaired.reproduce.plan import ROWS, Budget, experiment
from unpaired.training import train

PLAN, SCORES, COPYING = "plan.json", "scores.json", "copying.json"


@dataclass(frozen=True)
class Workshop:
    """The folder in which a reproduction is carried out, and its budget."""

    out: Path
    budget: Budget
    threads: int
    device: str

    @property
    def labels(self) -> Path:
        """The unpaired data set."""
        return self.out / "data" / "labels"

    @property
    def pairs(self) -> Path:
        """The paired one, with the same tests."""
        return self.out / "data" / "pairs"

    def run(self, name: str, seed: int = 0) -> Path:
        """The folder of one training of a row of the tables, or of another experiment."""
        return self.out / "runs" / (ROWS[name].slug if name in ROWS else name) / f"seed-{seed}"

    def model(self, name: str, direction: Direction) -> Translator:
        """What the training with seed 0 learned."""
        return Translator.load(self.run(name), direction, precision="fp32", device=self.device)

    def copying(self) -> dict[str, Any] | None:
        """The scores of the inputs as translations; None before `prepare`."""
        return _read(self.out / COPYING)

    def scores(self, name: str, seed: int = 0) -> dict[str, Any] | None:
        """The scores of one training; None unless it is finished."""
        return _read(self.run(name, seed) / SCORES)

    def experiment(self, name: str, data: Path, seed: int = 0) -> Experiment:
        """The complete experiment of one row and one seed."""
        return experiment(name, self.budget, data, seed, self.threads, self.device)


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def open_workshop(out: Path, budget: Budget, threads: int, device: str) -> Workshop:
    """Make the folder, or come back to it; `BadInput` if it holds a reproduction with another budget."""
    path, plan = out / PLAN, asdict(budget)
    if (before := _read(path)) is not None:
        differ = [key for key in plan if before.get(key, plan[key]) != plan[key]]
        if changed := [f"{key} was {before[key]} and is now {plan[key]}" for key in differ]:
            raise BadInput(f"{out} holds a reproduction with another budget: {', '.join(changed)}; give another --out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: expected a new or empty folder or a reproduction, found something else")
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(plan, indent=2))
    return Workshop(out, budget, threads, device)


def prepare(shop: Workshop) -> Segmenter:
    """The two data sets and the segmenter, made where they are missing."""
    budget = shop.budget
    for folder, aligned in ((shop.labels, False), (shop.pairs, True)):
        if not (folder / MANIFEST).exists():
            say(f"preparing {folder}")
            prepare_earth(folder, "satellite-labels", budget.size, budget.globe_width, budget.stride, aligned)
    path = shop.out / "segmenter.safetensors"
    if path.exists():
        segmenter = load_segmenter(path)
    else:
        segmenter = train_segmenter(shop.pairs, path, budget.segmenter_steps, width=budget.segmenter_width)
    if shop.copying() is None:
        write_text(shop.out / COPYING, json.dumps(label_scores(Copying(), shop.labels, segmenter), indent=2))
    return segmenter


def run_missing(shop: Workshop, names: Sequence[str], seeds: Sequence[int], segmenter: Segmenter) -> None:
    """Train and score what is missing, every method with one seed before the next seed; resumes what was stopped."""
    todo = [(name, seed) for seed in seeds for name in names if shop.scores(name, seed) is None]
    for number, (name, seed) in enumerate(todo, 1):
        say(f"{number} of {len(todo)}: {name}, seed {seed}")
        data, run = shop.pairs if ROWS[name].paired else shop.labels, shop.run(name, seed)
        train(shop.experiment(name, data, seed), run)
        write_text(run / SCORES, json.dumps(label_scores(run, shop.labels, segmenter), indent=2))


def say(line: str) -> None:
    """A line on stderr, between the progress of its parts."""
    print(f"\n{line}", file=sys.stderr, flush=True)
