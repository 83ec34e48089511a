"""What is optimised: one file per method, maths only."""

from __future__ import annotations

from unpaired.methods.base import Fakes, Method, Terms
from unpaired.methods.cyclegan import CycleGAN, CycleGANConfig
from unpaired.methods.history import History

MethodConfig = CycleGANConfig
METHODS: dict[str, type[Method]] = {"cyclegan": CycleGAN}
"""By name. A method from outside the package is one more entry: examples/geometry_consistency.py."""

__all__ = ["METHODS", "CycleGAN", "CycleGANConfig", "Fakes", "History", "Method", "MethodConfig", "Terms"]
