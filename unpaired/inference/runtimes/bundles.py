"""The runtime of one direction of a bundle: torch, or an export of it from the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from unpaired.checkpoints.bundle import Bundle, bundle_file
from unpaired.config import Direction
from unpaired.core.device import pick_device
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.inference.runtimes import Precision, Runtime, RuntimeName, is_installed, open_exported
from unpaired.inference.runtimes.facts import FORMAT, SUFFIX, Format
from unpaired.inference.runtimes.torch import CPU, TorchRuntime

FASTEST: tuple[Format, ...] = ("openvino", "onnx")
"""Engines that `auto` prefers to torch where the cache has an export for them."""
MakeExport = Callable[[Path, Path, Format, Precision, Direction], Path]
"""(bundle, target, format, precision, direction) to the written file; see `unpaired.export.export`."""


def torch_runtime(
    bundle: Bundle, direction: Direction, device: torch.device = CPU, precision: Precision = "fp32"
) -> TorchRuntime:
    """The network in torch. On the CPU in fp32 it is the bundle's own network, elsewhere a copy on the device."""
    network, channels = bundle.translators[direction], bundle.channels(direction)
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
    name: RuntimeName,
    precision: Precision | None,
    device: str,
    make_export: MakeExport | None,
) -> Runtime:
    """One direction of a bundle, which was loaded from `model`, in an engine.

    `auto` takes torch on a card. On a CPU it takes an export from the cache, OpenVINO's before ONNX Runtime's, and
    torch where there is none. int8, which torch does not offer, means OpenVINO. The precision is `default_precision`
    for torch and fp32 for the others unless given. `make_export` makes an export that the cache does not have. Raises
    BadInput if the engine is not installed, lacks this precision or device, or has no export and none can be made.
    """
    file, place, exported = bundle_file(model), pick_device(device), precision or "fp32"
    if name == "auto" and place.type == "cpu":
        installed: list[Format] = [each for each in FASTEST if is_installed(each)]
        cached = (cached_export(file, direction, each, exported) for each in installed)
        if path := next((path for path in cached if path.is_file()), None):
            return open_exported(path, device=device)
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


def cached_export(bundle: Path, direction: Direction, format: Format, precision: Precision) -> Path:
    """Path of this bundle's export in the cache, keyed by the bundle's SHA-256; the file may not exist yet."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "unpaired" / "exports" / f"{file_sha256(bundle)[:32]}-{FORMAT}"
    return folder / f"{direction}-{precision}{SUFFIX[format]}"
