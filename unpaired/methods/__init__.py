"""What is optimised: one file per method, maths only."""

from __future__ import annotations

from unpaired.methods.base import Fakes, Method, Terms
from unpaired.methods.bigan import BiGAN, BiGANConfig
from unpaired.methods.cogan import CoGAN, CoGANConfig
from unpaired.methods.cyclegan import ABLATIONS, CycleGAN, CycleGANConfig
from unpaired.methods.featuregan import FeatureGAN, FeatureGANConfig
from unpaired.methods.history import History
from unpaired.methods.pix2pix import Pix2Pix, Pix2PixConfig
from unpaired.methods.simgan import SimGAN, SimGANConfig

MethodConfig = CycleGANConfig | CoGANConfig | BiGANConfig | SimGANConfig | FeatureGANConfig | Pix2PixConfig
METHODS: dict[str, type[Method]] = {
    "cyclegan": CycleGAN,
    "cogan": CoGAN,
    "bigan": BiGAN,
    "simgan": SimGAN,
    "featuregan": FeatureGAN,
    "pix2pix": Pix2Pix,
}
"""By name. A method from outside the package is one more entry: examples/geometry_consistency.py."""

__all__ = [
    "ABLATIONS",
    "METHODS",
    "BiGAN",
    "BiGANConfig",
    "CoGAN",
    "CoGANConfig",
    "CycleGAN",
    "CycleGANConfig",
    "Fakes",
    "FeatureGAN",
    "FeatureGANConfig",
    "History",
    "Method",
    "MethodConfig",
    "Pix2Pix",
    "Pix2PixConfig",
    "SimGAN",
    "SimGANConfig",
    "Terms",
]
