"""Training a preset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional


def train(
    preset: Annotated[str, Positional],
    *,
    data: Path,
    out: Path,
    steps: int | None = None,
    seed: int | None = None,
    config: Path | None = None,
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None,
    deterministic: bool = False,
    allow_config_change: bool = False,
    settings: tyro.conf.Suppress[dict[str, Any] | None] = None,
) -> None:
    """Train a preset; the same command again resumes, and a finished run says so.

    Any setting can follow, e.g. --optim.lr 1e-4; `unpaired train PRESET --help` lists them with their values.

    Args:
        preset: A named experiment: earth, earth128, horse2zebra, monet2photo, ...
        data: Folder with trainA and trainB, or hf://datasets/user/name, which is read there.
        out: Folder of the run.
        steps: Total steps, in place of the preset's length.
        seed: Start of every random choice.
        config: YAML or JSON file of settings; flags win over it.
        from_: Bundle or run whose generators to fine-tune (optim.start); see also --optim.discriminator-warmup.
        deterministic: The same bits each time, on a GPU too (runtime.deterministic).
        allow_config_change: Go on from a checkpoint although settings that touch its numbers have changed.
        settings: Dotted settings, taken from the flags that have a dot.
    """
    from unpaired.evaluation.report import write_report
    from unpaired.experiment import read_settings, with_root, with_settings
    from unpaired.presets import preset as named
    from unpaired.training import train

    experiment = named(preset)
    if config:
        experiment = with_settings(experiment, read_settings(config), str(config))
    flags = {"optim.steps": steps, "runtime.seed": seed, "optim.start": from_ and str(from_)}
    flags["runtime.deterministic"] = deterministic or None
    flags = {key: value for key, value in flags.items() if value is not None}
    experiment = with_settings(with_root(experiment, data), flags | (settings or {}), "train")
    run = train(experiment, out, allow_config_change=allow_config_change)
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes the first reports
        print(f"report: {write_report(run, data=data)}")
