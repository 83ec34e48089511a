"""Named, complete experiments. Each is a function, so that one is derived from another in plain code.

`paper` settings are the published ones: lambda 10, history 50, batch 1, 286 to 256 px, 100 + 100 epochs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from unpaired.config import DataConfig, OptimConfig, RuntimeConfig
from unpaired.errors import BadInput
from unpaired.experiment import Experiment
from unpaired.methods import CycleGANConfig
from unpaired.models import PatchGANConfig, ResNetConfig


def smoke() -> Experiment:
    """Seconds on any data, to see that everything runs: 32 px, tiny networks, 20 steps.

    unpaired train smoke --data DATA --out RUN
    """
    return Experiment(
        name="smoke",
        data=DataConfig(load_size=36, crop_size=32),
        method=CycleGANConfig(
            generator=ResNetConfig(width=4, blocks=1),
            critic=PatchGANConfig(width=4, layers=1),
            identity_weight=5.0,
            history=4,
        ),
        optim=OptimConfig(steps=20),
        runtime=RuntimeConfig(log_every=5, sample_every=10, save_every=10, samples=2),
    )


def earth() -> Experiment:
    """Satellite to elevation colours at 64 px in minutes on two CPU cores.

    unpaired train earth --data earth64 --out runs/earth
    """
    return Experiment(
        name="earth",
        data=DataConfig(preprocess="none", crop_size=64, load_size=64),
        method=CycleGANConfig(
            generator=ResNetConfig(width=32, blocks=6, upsampling="resize"),
            critic=PatchGANConfig(),
            identity_weight=5.0,
        ),
        optim=OptimConfig(steps=4000),
        runtime=RuntimeConfig(log_every=20, sample_every=500),
    )


def _paper(name: str, *, identity: bool, blocks: int = 9) -> Experiment:
    """The published settings at 256 px; identity is half of lambda where the paper or its authors use it."""
    return Experiment(
        name=name,
        method=CycleGANConfig(generator=ResNetConfig(blocks=blocks), identity_weight=5.0 if identity else 0.0),
        runtime=RuntimeConfig(sample_every=2000, save_every=5000),
    )


PRESETS: dict[str, Callable[[], Experiment]] = {"smoke": smoke, "earth": earth}


def preset(name: str) -> Experiment:
    """The preset called `name`.

    Raises:
        BadInput: there is none; the nearest name is offered.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise BadInput(f"unknown preset {name}; {hint}there are {', '.join(PRESETS)}")
    return PRESETS[name]()
