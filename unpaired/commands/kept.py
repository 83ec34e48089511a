"""The kept checkpoints of a run, by step or epoch."""

from __future__ import annotations

import json
from pathlib import Path

from unpaired.core.errors import BadInput


def at_step(model: Path, step: int | None) -> Path:
    """The folder of the checkpoint after `step` steps of the run `model`; `model` itself without a step.

    Raises:
        BadInput: no such checkpoint is kept.
    """
    return model if step is None else kept_checkpoint(model, f"step {step}", step=step)


def kept_checkpoint(run: Path, asked: str, *, step: int | None = None, epoch: int | None = None) -> Path:
    """The folder of the checkpoint after `step` steps, or after `epoch` whole epochs.

    Args:
        run: The run's folder.
        asked: The checkpoint in the user's words, for the message.
        step: Steps, or
        epoch: epochs.

    Raises:
        BadInput: no such checkpoint is kept; the steps of those kept are named.
    """
    kept: list[int] = []
    for path in sorted((run / "checkpoints").glob("step-*/manifest.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts.get("step") == step if step is not None else (facts.get("epoch"), facts.get("position")) == (epoch, 0):
            return path.parent
        kept.append(facts.get("step"))
    there = f"there is step {', '.join(map(str, kept))}" if kept else "there is none"
    raise BadInput(f"{run}: no checkpoint of {asked} is kept; {there}; --runtime.keep N keeps more while training")
