"""What is optimised: one file per method, maths only."""

from __future__ import annotations

from unpaired.methods.base import Fakes, Method, Terms
from unpaired.methods.cyclegan import CycleGAN, CycleGANConfig
from unpaired.methods.history import History

MethodConfig = CycleGANConfig
METHODS = {"cyclegan": CycleGAN}

__all__ = ["METHODS", "CycleGAN", "CycleGANConfig", "Fakes", "History", "Method", "MethodConfig", "Terms"]
