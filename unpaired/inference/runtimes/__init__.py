"""Engines that compute one direction of a model: a network in torch, or an exported file in its own engine.

Importing this imports no torch: an exported file translates where torch is not installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Array
from unpaired.inference.runtimes.facts import SUFFIX, Facts, Precision

RuntimeName = Literal["auto", "torch", "onnx", "openvino"]
"""Names of the engines on the command line."""
__all__ = ["Exported", "Facts", "Precision", "Runtime", "RuntimeName", "is_exported", "is_installed", "open_exported"]


class Runtime(ABC):
    """Images in, translations out. It pads to the network's size multiple and cuts back."""

    label: str
    """Engine and arithmetic, e.g. "torch fp32": results of two labels may differ."""
    place: str
    """The device, in words."""
    channels_in: int
    channels_out: int
    size_multiple: int
    """What both sides of a padded image divide by."""
    min_size: int
    """The smallest side of a padded image."""

    @abstractmethod
    def __call__(self, images: Array) -> Array:
        """(b, channels_in, h, w) to (b, channels_out, h, w), any size, both in [-1, 1]; safe in several threads."""

    def submit(self, images: Array) -> Callable[[], Array]:
        """Start translating a batch; returns a function that waits for the result, or computes it then."""
        return partial(self, images)


class Exported(Runtime):
    """The runtime of a file of `unpaired export`, as its facts describe it."""

    def __init__(self, engine: str, facts: Facts, place: str = "cpu") -> None:
        self.facts, self.label, self.place = facts, f"{engine} {facts.precision}", place
        self.channels_in, self.channels_out = facts.channels_in, facts.channels_out
        self.size_multiple, self.min_size = facts.size_multiple, facts.min_size


def is_exported(path: Path) -> bool:
    """Whether a path ends in the suffix of an exported file."""
    return path.suffix.lower() in SUFFIX.values()


def open_exported(path: Path, name: RuntimeName = "auto", device: str = "auto") -> Exported:
    """Load an exported file in an engine: `auto` takes the file's own; ONNX files run in OpenVINO too.

    ONNX Runtime takes the device auto, cpu, cuda or cuda:N, where its CUDA provider is installed; OpenVINO the CPU.
    Raises BadInput if the engine is not installed, cannot run the file or lacks the device, and for a file that is
    damaged, not of `unpaired export`, or a `.pt2`, which is read by unpickling.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a file of `unpaired export`")
    if path.suffix.lower() == ".pt2":
        unread = "a .pt2 is read by unpickling, which can run code hidden in it, so unpaired only writes them"
        advice = "translate with the bundle, .onnx or OpenVINO, or load it in your own program if you trust it"
        raise BadInput(f"{path}: {unread}; {advice}")
    fitting: tuple[RuntimeName, ...] = ("openvino",) if path.suffix.lower() == ".xml" else ("onnx", "openvino")
    if name not in ("auto", *fitting):
        raise BadInput(f"{path}: runs in {' or '.join(fitting)}, not {name}; give the run or the bundle")
    if name == "auto":
        name = "onnx" if "onnx" in fitting and (is_installed("onnx") or not is_installed("openvino")) else "openvino"
    if name == "onnx":
        from unpaired.inference.runtimes.onnx import OnnxRuntime

        return OnnxRuntime.open(path, device)
    from unpaired.inference.runtimes.openvino import OpenVinoRuntime

    if device not in ("auto", "cpu"):
        raise BadInput(f"--device {device}: OpenVINO runs on the CPU here; use --device cpu, or torch or ONNX Runtime")
    return OpenVinoRuntime.open(path)


def is_installed(name: str) -> bool:
    """Whether the package of an engine is installed; it is not imported."""
    return find_spec({"onnx": "onnxruntime"}.get(name, name)) is not None
