"""ONNX Runtime, on the CPU or on a CUDA card."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Array
from unpaired.inference.runtimes import Exported, Facts
from unpaired.inference.runtimes.facts import IMAGE, KEY, TRANSLATION, onnx_content, through

ERRORS_ONLY = 3
"""ONNX Runtime's log level for errors."""
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxRuntime(Exported):
    """An inference session."""

    def __init__(self, session: Any, facts: Facts) -> None:
        super().__init__("onnx", facts, "cuda" if CUDA in session.get_providers() else "cpu")
        self.session = session

    @classmethod
    def open(cls, path: Path, device: str = "auto") -> OnnxRuntime:
        """Load a file of `unpaired export --format onnx`; auto takes the CUDA provider where there is one.

        Raises BadInput if ONNX Runtime is not installed or lacks the device, or for a damaged or foreign file.
        """
        try:
            import onnxruntime
        except ImportError as error:
            advice = "pip install 'unpaired[export]' or onnxruntime; with a CUDA card 'unpaired[export-cuda]'"
            raise BadInput(f"{path}: needs ONNX Runtime; {advice}") from error
        available = onnxruntime.get_available_providers()
        if CUDA in available:  # a build for CUDA finds the libraries that pip installed, with torch or by themselves
            with redirect_stdout(sys.stderr):  # it prints what it does not find
                onnxruntime.preload_dlls()
        chosen = providers(device, available)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        content = onnx_content(path)
        try:
            session = onnxruntime.InferenceSession(content, options, providers=chosen)
        except Exception as error:  # its exceptions have no common base class
            raise BadInput(f"{path}: not a readable ONNX model ({' '.join(str(error).split())[:300]})") from error
        if device.startswith("cuda") and CUDA not in session.get_providers():
            raise BadInput(f"--device {device}: ONNX Runtime found no usable CUDA card; use --device cpu")
        facts = Facts.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), str(path))
        return cls(session, facts)

    def __call__(self, images: Array) -> Array:
        """(b, channels_in, h, w) to (b, channels_out, h, w), both in [-1, 1]."""
        return through(lambda levels: self.session.run([TRANSLATION], {IMAGE: levels})[0], images, self.facts)


def providers(device: str, available: list[str]) -> list[Any]:
    """ONNX Runtime's providers for a device, in order of preference.

    fp32 is computed without TF32, so that a card's result equals the CPU's but for rounding. Raises BadInput for
    a device that is not one of ONNX Runtime's, or without its CUDA package.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda"):
        raise BadInput(f"--device {device}: ONNX Runtime runs on cpu or cuda; use --device cpu, or the bundle")
    if kind == "cuda" and CUDA not in available:
        wanted = "pip uninstall onnxruntime, then pip install 'unpaired[export-cuda]'"
        raise BadInput(f"--device {device}: this ONNX Runtime has no CUDA provider; {wanted}")
    if kind == "cpu" or CUDA not in available:
        return [CPU]
    return [(CUDA, {"device_id": number or "0", "use_tf32": "0"}), CPU]
