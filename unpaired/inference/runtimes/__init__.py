"""What carries out one direction of a model: a network in torch, or an exported file in its own engine.

Importing this imports no torch: an exported file translates where torch is not installed.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Array
from unpaired.inference.runtimes.facts import Facts, Precision

RuntimeName = Literal["auto", "torch", "onnx", "openvino"]
"""A runtime as users name it."""
__all__ = ["Facts", "Precision", "Runtime", "RuntimeName", "is_exported", "is_installed", "open_exported"]


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
        """(b, channels_in, h, w) to (b, channels_out, h, w), any size, both in [-1, 1]; safe in several threads."""
        ...


class Exported(Runtime, Protocol):
    """A runtime that came from a file of `unpaired export`."""

    @property
    def facts(self) -> Facts:
        """What the file says about itself."""
        ...


def is_exported(path: Path) -> bool:
    """Whether the name is that of an exported file."""
    return path.suffix.lower() in (".onnx", ".xml", ".pt2")


def open_exported(path: Path, name: RuntimeName = "auto") -> Exported:
    """An exported file, ready to run.

    Args:
        path: A file of `unpaired export`.
        name: What to run it in. auto takes its own engine; ONNX files run in OpenVINO too.

    Raises:
        BadInput: the engine is not installed or cannot run it, the file is damaged or not ours, or it is a `.pt2`,
            whose reading runs code.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a file of `unpaired export`")
    if path.suffix.lower() == ".pt2":
        raise BadInput(
            f"{path}: a .pt2 is read by unpickling, which can run code hidden in it, so unpaired only writes them; "
            f"translate with the bundle, .onnx or OpenVINO, or load it in your own program if you trust it"
        )
    fitting: tuple[RuntimeName, ...] = ("openvino",) if path.suffix.lower() == ".xml" else ("onnx", "openvino")
    if name not in ("auto", *fitting):
        raise BadInput(f"{path}: runs in {' or '.join(fitting)}, not {name}; give the run or the bundle")
    if name == "auto":
        name = "onnx" if "onnx" in fitting and (is_installed("onnx") or not is_installed("openvino")) else "openvino"
    if name == "onnx":
        from unpaired.inference.runtimes.onnx import OnnxRuntime

        return OnnxRuntime.open(path)
    from unpaired.inference.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime.open(path)


def is_installed(name: str) -> bool:
    """Whether the engine's package is there, without importing it."""
    return find_spec({"onnx": "onnxruntime"}.get(name, name)) is not None
