"""Training objectives: one file per method, maths only."""

from __future__ import annotations

from unpaired.config.methods import (
    BiGANConfig,
    CoGANConfig,
    CUTConfig,
    CycleGANConfig,
    FeatureGANConfig,
    MethodConfig,
    Pix2PixConfig,
    SimGANConfig,
)
from unpaired.methods.base import Fakes, Losses, LossFunction, Method, evaluate, forward_many
from unpaired.methods.batch import Batch
from unpaired.methods.bigan import BiGAN
from unpaired.methods.choices import Choices
from unpaired.methods.cogan import CoGAN
from unpaired.methods.cut import CUT
from unpaired.methods.cyclegan import ABLATIONS, CycleGAN
from unpaired.methods.featuregan import FeatureGAN
from unpaired.methods.history import History
from unpaired.methods.pix2pix import Pix2Pix
from unpaired.methods.simgan import SimGAN

METHODS: dict[str, type[Method]] = {
    "cyclegan": CycleGAN,
    "cogan": CoGAN,
    "bigan": BiGAN,
    "simgan": SimGAN,
    "featuregan": FeatureGAN,
    "pix2pix": Pix2Pix,
    "cut": CUT,
}
"""By name. A method from outside the package is one more entry: examples/geometry_consistency.py."""

__all__ = [
    "ABLATIONS",
    "CUT",
    "METHODS",
    "Batch",
    "BiGAN",
    "BiGANConfig",
    "CUTConfig",
    "Choices",
    "CoGAN",
    "CoGANConfig",
    "CycleGAN",
    "CycleGANConfig",
    "Fakes",
    "FeatureGAN",
    "FeatureGANConfig",
    "History",
    "LossFunction",
    "Losses",
    "Method",
    "MethodConfig",
    "Pix2Pix",
    "Pix2PixConfig",
    "SimGAN",
    "SimGANConfig",
    "evaluate",
    "forward_many",
]
