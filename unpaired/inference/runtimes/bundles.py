"""The runtime of one direction of a bundle: torch, or an export of it from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from unpaired.checkpoints.bundle import Bundle, bundle_file
from unpaired.config import Direction
from unpaired.core.device import pick_device
from unpaired.core.errors import BadInput
from unpaired.inference.runtimes import Precision, Runtime, RuntimeName, is_installed, open_exported
from unpaired.inference.runtimes.formats import Format, cached_export
from unpaired.inference.runtimes.torch import CPU, TorchRuntime

FASTEST: tuple[Format, ...] = ("openvino", "onnx")
"""Engines that `auto` prefers to torch where the cache has an export for them."""
MakeExport = Callable[[Path, Path, Format, Precision, Direction], Path]
"""(bundle, target, format, precision, direction) to the written file; see `unpaired.export.export`."""


def torch_runtime(
    bundle: Bundle, direction: Direction, device: torch.device = CPU, precision: Precision = "fp32"
) -> TorchRuntime:
    """The network in torch. On the CPU in fp32 it is the bundle's own network, elsewhere a copy on the device."""
    data, network = bundle.experiment.data, bundle.translators[direction]
    of = {"A": data.channels_a, "B": data.channels_b}
    channels = of[direction[0]], of[direction[-1]]
    if device.type == "cpu" and precision == "fp32":
        return TorchRuntime(network, *channels)
    return TorchRuntime.placed(network, channels, device, torch.bfloat16 if precision == "bf16" else torch.float32)


def default_precision(device: torch.device) -> Precision:
    """bf16 on CUDA cards that multiply it natively, fp32 elsewhere."""
    return "bf16" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"


def bundle_runtime(
    bundle: Bundle,
    model: Path,
    direction: Direction,
    name: RuntimeName = "auto",
    precision: Precision | None = None,
    device: str = "auto",
    make_export: MakeExport | None = None,
) -> Runtime:
    """One direction of a bundle in the requested engine.

    `auto` takes torch on a card. On a CPU it takes an export from the cache, OpenVINO's before ONNX Runtime's, and
    torch where there is none. int8, which torch does not offer, means OpenVINO.

    Args:
        bundle: The loaded bundle.
        model: The file or run it came from.
        direction: AtoB or BtoA.
        name: The engine.
        precision: Arithmetic of the engine; `default_precision` for torch and fp32 for the others unless given.
        device: See `unpaired.core.device.pick_device`.
        make_export: Makes an export that the cache does not have; without it such an engine is refused.

    Raises:
        BadInput: the engine is not installed, lacks this precision or device, or has no export and none can be made.
    """
    file = bundle_file(model)
    place = pick_device(device)
    exported = precision or "fp32"
    if name == "auto" and place.type == "cpu":
        installed: list[Format] = [each for each in FASTEST if is_installed(each)]
        cached = (cached_export(file, direction, each, exported) for each in installed)
        if path := next((path for path in cached if path.is_file()), None):
            return open_exported(path)
    if name == "torch" or (name == "auto" and precision != "int8"):
        if precision == "int8":
            raise BadInput("--precision int8: torch offers fp32 and bf16; int8 runs in OpenVINO")
        return torch_runtime(bundle, direction, place, precision or default_precision(place))
    format: Format = "onnx" if name == "onnx" else "openvino"
    path = cached_export(file, direction, format, exported)
    if not path.is_file():
        if make_export is None:
            advice = f"`unpaired export {model} FILE --format {format}` writes one; translate with that file"
            raise BadInput(f"{model}: no {format} export of {direction} in {exported} in the cache; {advice}")
        make_export(file, path, format, exported, direction)
    return open_exported(path, device=device)
