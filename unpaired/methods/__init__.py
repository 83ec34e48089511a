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
from unpaired.methods.base import Fakes, Losses, LossFunction, Method, compute_losses, forward_many
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

__all__ = ["METHODS", "ABLATIONS", "Batch", "Choices", "Fakes", "History", "LossFunction", "Losses", "Method"]
__all__ += ["BiGAN", "BiGANConfig", "CUT", "CUTConfig", "CoGAN", "CoGANConfig", "CycleGAN", "CycleGANConfig"]
__all__ += ["FeatureGAN", "FeatureGANConfig", "MethodConfig", "Pix2Pix", "Pix2PixConfig", "SimGAN", "SimGANConfig"]
__all__ += ["compute_losses", "forward_many"]
