"""What carries out one direction of a model: a network in torch, or an exported file in its own engine.

Importing this imports no torch: an exported file translates where torch is not installed.
"""

from __future__ import annotations

from typing import Literal, Protocol

from unpaired.images import Array

Engine = Literal["auto", "torch", "onnx", "openvino"]
"""The choice of a runtime by name."""


class Runtime(Protocol):
    """Images in, translations out. Padding to what the network divides by, and cutting back, happen inside."""

    @property
    def label(self) -> str:
        """Engine and arithmetic in two words, e.g. "torch fp32": numbers got with another may differ."""
        ...

    @property
    def channels_in(self) -> int:
        """Channels taken."""
        ...

    @property
    def channels_out(self) -> int:
        """Channels given."""
        ...

    def __call__(self, images: Array) -> Array:
        """(b, channels_in, h, w) to (b, channels_out, h, w), any size, both in [-1, 1]."""
        ...
