"""A model for other engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from unpaired.config import Direction


def export(
    model: Annotated[Path, Positional],
    out: Annotated[Path, Positional],
    *,
    format: Literal["onnx", "openvino", "pt2"],
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    direction: Direction | None = None,
    data: Path | None = None,
) -> None:
    """Export a model to ONNX, OpenVINO or .pt2; the file is kept only if it translates as the network does.

    Args:
        model: A run's folder or a bundle.
        out: The file (.onnx, .xml with a .bin beside it, .pt2), or a folder for it.
        format: onnx for any language, openvino for speed on CPUs, pt2 for programs in torch.
        precision: bf16 (openvino, pt2) and int8 (openvino) are faster and a little coarser.
        direction: AtoB or BtoA; the first the model has unless given.
        data: Data set whose training images bf16 and int8 are tried on; the one trained on unless given.
    """
    from unpaired.export import export

    export(model, out, format, precision, direction, data)
