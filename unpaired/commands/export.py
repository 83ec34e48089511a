"""A model for other engines."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unpaired.commands.arguments import Folder
from unpaired.config import Direction


def export(
    model: Path,
    out: Path,
    *,
    format: Literal["onnx", "openvino", "pt2"],
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    direction: Direction | None = None,
    device: str = "auto",
    data: Folder | None = None,
) -> None:
    """Export a model to ONNX, OpenVINO or .pt2.

    The file is kept only if its output equals the network's within a stated tolerance.

    Args:
        model: A run's folder or a bundle.
        out: The file (.onnx, .xml with a .bin beside it, .pt2), or a folder for it.
        format: onnx for any language, openvino for speed on CPUs, pt2 for programs with torch.
        precision: bf16 (openvino, pt2) and int8 (openvino) are faster and less accurate.
        direction: AtoB or BtoA; the model's first unless given.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.
        data: Data set whose training images measure the error of bf16 and int8; the training data unless given.

    Example:
        unpaired export runs/mine model.onnx --format onnx
    """
    from unpaired.export import export

    export(model, out, format, precision, direction, data, device)
