"""The training of a preset."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from unpaired.commands.arguments import File, Folder


def train(
    preset: str,
    *,
    data: Folder,
    out: Folder,
    steps: int | None = None,
    seed: int | None = None,
    config: File | None = None,
    from_: File | None = None,
    device: str | None = None,
    deterministic: bool = False,
    allow_config_change: bool = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Train a preset, or resume its run.

    Any setting may follow, e.g. --optim.lr 1e-4. `unpaired train PRESET --help` lists the settings that people change
    with the preset's values, `--help-all` lists all.

    Args:
        preset: A named experiment: quick, standard, cyclegan, earth, horse2zebra, ...
        data: Folder with trainA and trainB, or hf://datasets/user/name, which is read remotely.
        out: Folder of the run.
        steps: Total steps, in place of the preset's length.
        seed: Seed of every random number.
        config: YAML or JSON file of settings; flags take precedence.
        from_: Bundle or run whose generators to fine-tune (optim.start); see also --optim.discriminator-warmup.
        device: auto, cpu, cuda, cuda:N or mps (runtime.device); auto takes CUDA, then MPS, then the CPU.
        deterministic: The same bits each time, on a GPU too (runtime.deterministic).
        allow_config_change: Resume a checkpoint of other settings that affect its numbers.
        settings: (not a flag) Dotted settings by name, from the flags with a dot.

    Example:
        unpaired train horse2zebra --data datasets/horse2zebra --out runs/zebra
    """
    from unpaired.core.errors import Stopped
    from unpaired.evaluation.report import write_report
    from unpaired.evaluation.report.page import REPORT
    from unpaired.experiment import read_settings, with_root, with_settings
    from unpaired.presets import crop_in
    from unpaired.presets import preset as named
    from unpaired.training import train

    experiment = named(preset, crop_in(settings or {}))
    if config:
        experiment = with_settings(experiment, read_settings(config), str(config))
    flags = {"optim.steps": steps, "runtime.seed": seed, "runtime.device": device, "optim.start": from_ and str(from_)}
    flags = {key: value for key, value in flags.items() if value is not None}
    flags |= {"runtime.deterministic": True} if deterministic else {}
    experiment = with_settings(with_root(experiment, data), flags | (settings or {}), "train")
    device = experiment.runtime.device
    is_first = int(os.environ.get("RANK", "0")) == 0  # of several processes the first reports
    try:
        live = partial(write_report, data=data, live=True)
        run = train(experiment, out, allow_config_change=allow_config_change, report=live)
    except Stopped:
        if is_first and (out / REPORT).is_file():
            write_report(out, data=data, device=device)  # no longer live
        raise
    if is_first:
        print(f"report: {write_report(run, data=data, device=device)}")
