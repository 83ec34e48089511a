"""The plan: the rows of the paper's tables as methods, and the size of each under a budget.

Every row has the same generators, discriminators, history, rate, batch and number of steps: nothing is tuned for one
method.
CoGAN alone has different generators, as in the paper, and needs batches for its BatchNorm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unpaired.config import DataConfig, OptimConfig, RuntimeConfig
from unpaired.config.networks import CoupledConfig
from unpaired.experiment import Experiment
from unpaired.methods import (
    ABLATIONS,
    BiGANConfig,
    CoGANConfig,
    CycleGANConfig,
    FeatureGANConfig,
    MethodConfig,
    Pix2PixConfig,
    SimGANConfig,
)
from unpaired.models import PatchGANConfig, UNetConfig

LAMBDA = 2.0
"""Weight of each cycle: at the published 10 a U-Net's maps stay copies of their input (docs/lab-notes.md)."""
COGAN_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How large and how long: the same for every method."""

    name: str
    size: int = 64
    """Side of a tile in pixels."""
    globe_width: int = 1350
    stride: int | None = None
    width: int = 32
    """Feature maps of the generators at full size; the discriminators have twice as many."""
    steps: int = 2000
    segmenter_steps: int = 1500
    segmenter_width: int = 32
    features: str = ""
    """VGG-16's weight file for the feature loss; EfficientNet-Lite0 where empty."""


BUDGETS: dict[str, Budget] = {
    "smoke": Budget(
        name="smoke", size=32, globe_width=360, stride=8, width=4, steps=2, segmenter_steps=2, segmenter_width=4
    ),
    "minutes": Budget(name="minutes", width=16, steps=300, segmenter_steps=400, segmenter_width=24),
    "full": Budget(name="full"),
}


@dataclass(frozen=True)
class Row:
    """One method, by the name that the paper's tables give it."""

    slug: str
    """Folder of its runs."""
    method: Callable[[dict[str, Any]], MethodConfig]
    """The method's settings, given the networks that all share."""
    paired: bool = False
    batch: int = 1


def _cyclegan(shared: dict[str, Any]) -> CycleGANConfig:
    return CycleGANConfig(**shared, forward_cycle_weight=LAMBDA, backward_cycle_weight=LAMBDA)


def _ablation(name: str) -> Callable[[dict[str, Any]], MethodConfig]:
    weights = {key.removeprefix("method."): value for key, value in ABLATIONS[name].items()}
    return lambda shared: replace(_cyclegan(shared), **weights)


def _cogan(shared: dict[str, Any]) -> CoGANConfig:
    return CoGANConfig(generator=CoupledConfig(width=shared["generator"].width), discriminator=shared["discriminator"])


def _pix2pix(shared: dict[str, Any]) -> Pix2PixConfig:
    return Pix2PixConfig(**shared, adversarial="least-squares")


ROWS: dict[str, Row] = {
    "CycleGAN": Row("cyclegan", _cyclegan),
    "Cycle alone": Row("cycle-alone", _ablation("cycle alone")),
    "GAN alone": Row("gan-alone", _ablation("GAN alone")),
    "pix2pix": Row("pix2pix", _pix2pix, paired=True),
    "SimGAN": Row("simgan", lambda shared: SimGANConfig(**shared)),
    "BiGAN/ALI": Row("bigan", lambda shared: BiGANConfig(**shared)),
    "Feature loss + GAN": Row("featuregan", lambda shared: FeatureGANConfig(**shared)),
    "CoGAN": Row("cogan", _cogan, batch=COGAN_BATCH),
    "GAN + forward cycle": Row("gan-forward", _ablation("GAN + forward cycle")),
    "GAN + backward cycle": Row("gan-backward", _ablation("GAN + backward cycle")),
}
"""In the order in which they are trained: the main findings first."""


def experiment(name: str, budget: Budget, data: Path, seed: int, threads: int, device: str) -> Experiment:
    """The complete experiment of one row and one seed."""
    row, side, often = ROWS[name], budget.size, max(1, budget.steps // 4)
    shared = {
        "generator": UNetConfig(width=budget.width, downs=5, upsampling="resize"),
        "discriminator": PatchGANConfig(width=2 * budget.width, layers=2, norm="none"),
    }
    method = row.method(shared)
    if isinstance(method, FeatureGANConfig):
        method = replace(method, features=budget.features)
    return Experiment(
        name=f"reproduce {row.slug}",
        data=DataConfig(
            root=str(data),
            preprocess="none",
            load_size=side,
            crop_size=side,
            batch=row.batch,
            paired=row.paired,
            workers=1,
        ),
        method=method,
        optim=OptimConfig(steps=budget.steps, ema_decay=0.998),
        runtime=RuntimeConfig(
            seed=seed, device=device, threads=threads, sample_every=often, save_every=often, keep=1, samples=4
        ),
    )


def budget_of(name: str, steps: int | None, features: Path | None) -> Budget:
    """The budget called `name`, with another number of steps and VGG-16's weights where given."""
    budget = replace(BUDGETS[name], features=str(features.absolute()) if features else "")
    return replace(budget, steps=steps) if steps else budget
