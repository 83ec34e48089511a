"""What can be exported: formats, their file names, and the arithmetic each is offered in."""

from __future__ import annotations

from typing import Literal

from unpaired.runtimes.facts import Precision

Format = Literal["onnx", "openvino", "pt2"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
OFFERED: dict[Format, tuple[Precision, ...]] = {
    "onnx": ("fp32",),
    "openvino": ("fp32", "bf16", "int8"),
    "pt2": ("fp32", "bf16"),
}
