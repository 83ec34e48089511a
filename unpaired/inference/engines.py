"""What a run or a bundle is translated with: torch, or an export of it that is made once and kept."""

from __future__ import annotations

from pathlib import Path

import torch

from unpaired.checkpoints.bundle import Bundle, bundle_file
from unpaired.config import Direction
from unpaired.core.errors import BadInput
from unpaired.export import cache
from unpaired.export.formats import Format
from unpaired.runtimes import Precision, Runtime, RuntimeName, is_installed, open_exported
from unpaired.runtimes.torch import TorchRuntime

FASTEST: tuple[Format, ...] = ("openvino", "onnx")
"""Engines that auto prefers to torch once the model has been exported to them."""


def torch_runtime(bundle: Bundle, direction: Direction) -> TorchRuntime:
    """The network itself, in fp32."""
    data = bundle.experiment.data
    channels = {"A": data.channels_a, "B": data.channels_b}
    return TorchRuntime(bundle.translators[direction], channels[direction[0]], channels[direction[-1]])


def bundle_runtime(
    bundle: Bundle, model: Path, direction: Direction, name: RuntimeName, precision: Precision
) -> Runtime:
    """One direction of a bundle in the engine asked for, exporting it where that engine needs it and has not got it.

    auto takes an export that is already there, OpenVINO's before ONNX Runtime's, and torch otherwise; int8, which torch
    has not, means OpenVINO.

    Raises:
        BadInput: the engine is not installed, or does not have this precision.
    """
    file = bundle_file(model)
    if name == "auto":
        ready = (cache.found(file, direction, each, precision) for each in FASTEST if is_installed(each))
        there = next((path for path in ready if path), None)
        if there:
            return open_exported(there)
        name = "openvino" if precision == "int8" else "torch"
    if name == "torch":
        if precision == "int8":
            raise BadInput("--precision int8: torch is offered in fp32, bf16; int8 runs in OpenVINO")
        plain = torch_runtime(bundle, direction)
        if precision == "fp32":
            return plain
        return TorchRuntime.fast(plain.network, plain.channels_in, plain.channels_out, torch.bfloat16)
    return open_exported(cache.made(file, direction, name, precision))
