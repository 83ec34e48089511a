"""Device, precision and memory layout: how a step is computed, not what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from unpaired.config import RuntimeConfig
from unpaired.errors import BadInput
from unpaired.models.fused import fuse


class Engine:
    """Puts networks and batches where they are computed, and carries out gradient steps."""

    def __init__(self, cfg: RuntimeConfig) -> None:
        self.device = pick_device(cfg.device)
        self.dtype = pick_dtype(cfg.precision, self.device)
        self.fast = cfg.precision != "exact"
        """Whether steps may be rounded in another order; if not, they equal the plain reference bit for bit."""
        self.layout = torch.channels_last if self.fast else torch.contiguous_format
        if cfg.threads:
            torch.set_num_threads(cfg.threads)

    def describe(self) -> str:
        """The choice in a few words, for the line at the start of a run."""
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type
        precision = "bf16 networks, fp32 weights" if self.half else "fp32" if self.fast else "fp32 as published"
        return f"{name}, {torch.get_num_threads()} threads, {precision}"

    def place(self, network: nn.Module) -> None:
        """Move a network to its device and layout; its outputs come back in fp32, so losses are exact."""
        network.to(self.device)
        network.to(memory_format=self.layout)  # pyright: ignore[reportCallIssue]
        if self.fast and self.device.type == "cpu":
            fuse(network)
        if self.half:
            network.register_forward_pre_hook(lambda _module, inputs: tuple(x.to(self.dtype) for x in inputs))
            network.register_forward_hook(lambda _module, _inputs, output: output.float())

    def put(self, images: Tensor) -> Tensor:
        """A batch on the device, in the networks' layout."""
        return images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)

    @property
    def half(self) -> bool:
        """Whether networks compute in fewer bits than their weights have."""
        return self.dtype != torch.float32

    def precision(self) -> AbstractContextManager[object]:
        """Inside it, convolutions run in the chosen precision."""
        return torch.autocast(self.device.type, self.dtype) if self.half else nullcontext()

    def descend(self, optimizer: torch.optim.Optimizer, terms: Mapping[str, Tensor]) -> None:
        """One optimiser step down the sum of the terms."""
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()


@contextmanager
def frozen(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Inside, no gradient is computed for these networks' weights."""
    for network in networks.values():
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks.values():
            network.requires_grad_(True)


def pick_device(name: str) -> torch.device:
    """The device asked for; auto takes CUDA, then MPS, then the CPU.

    Raises:
        BadInput: it is not there.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in present.items() if there)
    if not present[name]:
        there = ", ".join(device for device, is_there in present.items() if is_there)
        raise BadInput(f"runtime.device: {name} was asked for, but this machine has {there}; set runtime.device auto")
    return torch.device(name)


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """bf16 where asked for, or where the chip multiplies it faster than fp32."""
    if precision == "auto":
        precision = "bf16" if bf16_is_native(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def bf16_is_native(device: torch.device) -> bool:
    """Whether the chip has bf16 multiply instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    chip = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    return bool(chip.get("amx_bf16") or chip.get("avx512_bf16"))
