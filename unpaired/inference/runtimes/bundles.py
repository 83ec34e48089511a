"""The runtime of one direction of a bundle: torch, or an export of it from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from unpaired.checkpoints.bundle import Bundle, bundle_file
from unpaired.config import Direction
from unpaired.core.errors import BadInput
from unpaired.inference.runtimes import Precision, Runtime, RuntimeName, is_installed, open_exported
from unpaired.inference.runtimes.formats import Format, cached_export
from unpaired.inference.runtimes.torch import TorchRuntime

FASTEST: tuple[Format, ...] = ("openvino", "onnx")
"""Engines that `auto` prefers to torch where the cache has an export for them."""
MakeExport = Callable[[Path, Path, Format, Precision, Direction], Path]
"""(bundle, target, format, precision, direction) to the written file; see `unpaired.export.export`."""


def torch_runtime(bundle: Bundle, direction: Direction) -> TorchRuntime:
    """The network in torch, fp32."""
    data = bundle.experiment.data
    channels = {"A": data.channels_a, "B": data.channels_b}
    return TorchRuntime(bundle.translators[direction], channels[direction[0]], channels[direction[-1]])


def bundle_runtime(
    bundle: Bundle,
    model: Path,
    direction: Direction,
    name: RuntimeName,
    precision: Precision,
    make_export: MakeExport | None = None,
) -> Runtime:
    """One direction of a bundle in the requested engine.

    `auto` takes an export from the cache, OpenVINO's before ONNX Runtime's, and torch where there is none. int8, which
    torch does not offer, means OpenVINO.

    Args:
        bundle: The loaded bundle.
        model: The file or run it came from.
        direction: AtoB or BtoA.
        name: The engine.
        precision: Arithmetic of the engine.
        make_export: Makes an export that the cache does not have; without it such an engine is refused.

    Raises:
        BadInput: the engine is not installed, lacks this precision, or has no export and none can be made.
    """
    file = bundle_file(model)
    if name == "auto":
        installed: list[Format] = [each for each in FASTEST if is_installed(each)]
        cached = (cached_export(file, direction, each, precision) for each in installed)
        if path := next((path for path in cached if path.is_file()), None):
            return open_exported(path)
    if name == "torch" or (name == "auto" and precision != "int8"):
        if precision == "int8":
            raise BadInput("--precision int8: torch offers fp32 and bf16; int8 runs in OpenVINO")
        plain = torch_runtime(bundle, direction)
        if precision == "fp32":
            return plain
        return TorchRuntime.fast(plain.network, plain.channels_in, plain.channels_out, torch.bfloat16)
    format: Format = "onnx" if name == "onnx" else "openvino"
    path = cached_export(file, direction, format, precision)
    if not path.is_file():
        if make_export is None:
            advice = f"`unpaired export {model} FILE --format {format}` writes one; translate with that file"
            raise BadInput(f"{model}: no {format} export of {direction} in {precision} in the cache; {advice}")
        make_export(file, path, format, precision, direction)
    return open_exported(path)
