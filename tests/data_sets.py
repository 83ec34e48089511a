"""A tiny data set of two domains, and models that were never trained, for the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from unpaired.checkpoints.bundle import BUNDLE, save_bundle
from unpaired.experiment import Experiment, build_method, with_root, with_settings
from unpaired.presets import smoke

WIDTH, HEIGHT = 40, 36


def shapes(domain: str, number: int) -> Image.Image:
    """Red discs on blue in A, green squares on gray in B; no two alike."""
    rng = np.random.default_rng((ord(domain), number))
    ground = (30, 40, 120 + 8 * number) if domain == "A" else (150 + 8 * number,) * 3
    image = Image.new("RGB", (WIDTH, HEIGHT), ground)
    left, top, side = (int(value) for value in rng.integers((2, 2, 10), (20, 18, 16)))
    box, draw = (left, top, left + side, top + side), ImageDraw.Draw(image)
    draw.ellipse(box, (220, 50 + number, 40)) if domain == "A" else draw.rectangle(box, (40, 170 + number, 60))
    return image


def make_data(root: Path, a: int = 6, b: int = 5, test: int = 3) -> Path:
    """trainA, trainB, testA and testB of PNGs under `root`."""
    for folder, number, first in (("trainA", a, 0), ("trainB", b, 0), ("testA", test, 20), ("testB", test, 20)):
        (root / folder).mkdir(parents=True)
        for k in range(number):
            shapes(folder[-1], first + k).save(root / folder / f"{k:02}.png")
    return root


def tiny(data: Path, **settings: object) -> Experiment:
    """The smoke preset cut to six fp32 steps on `data`; settings with `__` for the dot."""
    usual = {
        "optim.steps": 6,
        "runtime.log_every": 2,
        "runtime.sample_every": 3,
        "runtime.save_every": 2,
        "runtime.precision": "fp32",
        "runtime.device": "cpu",
        "runtime.threads": 1,
        "data.workers": 0,
    }
    changes = {key.replace("__", "."): value for key, value in settings.items()}
    return with_settings(with_root(smoke(), data), usual | changes)


def make_model(run: Path, channels_a: int = 3, channels_b: int = 3, seed: int = 0, **settings: object) -> Path:
    """The bundle, in the folder `run`, of generators with strong random weights: each pixel of theirs matters."""
    identity = 5.0 if channels_a == channels_b else 0.0
    experiment = smoke()
    experiment = replace(experiment, data=replace(experiment.data, channels_a=channels_a, channels_b=channels_b))
    experiment = with_settings(
        experiment,
        {"method.identity_weight": identity} | {key.replace("__", "."): value for key, value in settings.items()},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = build_method(experiment)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter *= 10
    run.mkdir(parents=True, exist_ok=True)
    save_bundle(run / BUNDLE, experiment, method, step=7)
    return run / BUNDLE
