"""The device that networks run on: one rule for every command.

Torch is imported when a device is chosen, so that exported models translate without it.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpaired.core.errors import BadInput, counted

if TYPE_CHECKING:
    import torch

NAMES = "auto, cpu, cuda, cuda:N or mps"
PATTERN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
MEMORY_ERRORS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
"""Words of the errors by which torch reports that an allocation failed."""
DEVICE_ERRORS = ("CUDA error", "CUDA driver error", "Triton Error", "device-side assert", "NCCL error", "cuDNN error")
"""Words of the errors by which torch reports that a device failed."""


def is_device_name(name: str) -> bool:
    """Whether `name` is auto, cpu, cuda, cuda:N or mps."""
    return PATTERN.fullmatch(name) is not None


def pick_device(name: str = "auto", setting: str = "--device") -> torch.device:
    """The device of this name; `auto` takes CUDA, then MPS, then the CPU.

    Args:
        name: auto, cpu, cuda, cuda:N or mps.
        setting: The flag or setting that an error names.

    Raises:
        BadInput: no device of this name, or this machine does not have it.
    """
    import torch

    if not is_device_name(name):
        raise BadInput(f"{setting}: expected {NAMES}, found {name}")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    present = {"cuda": cards > 0, "mps": torch.backends.mps.is_available(), "cpu": True}
    kind, _, number = name.partition(":")
    kind = next(each for each, there in present.items() if there) if kind == "auto" else kind
    has = f"{setting}: {name} was asked for, but this machine has"
    if not present[kind]:
        raise BadInput(f"{has} {', '.join(each for each, there in present.items() if there)}; use {setting} auto")
    if number and int(number) >= cards:
        raise BadInput(f"{has} {', '.join(f'cuda:{each}' for each in range(cards))}")
    if kind == "cuda" and not number:
        number = str(torch.cuda.current_device())
    return torch.device(f"{kind}:{number}" if number else kind)


def describe_device(device: torch.device) -> str:
    """Name for the first line of a command, e.g. "NVIDIA H100 80GB HBM3 (cuda:0)" or "cpu, 8 threads"."""
    import torch

    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return f"cpu, {describe_threads()}" if device.type == "cpu" else device.type


def describe_threads() -> str:
    """`1 thread` or `8 threads`: how many torch uses inside one operation."""
    import torch

    return counted(torch.get_num_threads(), "thread")


def announce(device: torch.device) -> None:
    """Print the device that a command runs on: once its input is loaded, so that bad input stays one line."""
    print(f"device: {describe_device(device)}", file=sys.stderr, flush=True)


def copy_to(buffer: torch.Tensor, host: torch.Tensor) -> None:
    """Copy a tensor of the host into one of any device, without waiting where the device allows that.

    CUDA copies from pinned memory, which torch reuses only when the copy is done.
    """
    buffer.copy_(host.pin_memory() if buffer.is_cuda else host, non_blocking=buffer.is_cuda)  # MPS would read too late


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Inside, operations run in the precision of their operands; some devices, as meta, have no autocast."""
    import torch

    kind = device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def free_bytes(device: torch.device | None = None) -> int:
    """Bytes of memory that a new allocation on the device can take now; of the machine for the CPU and MPS.

    What torch holds on a card without using it is left out: it may belong to a recorded graph.
    """
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return min(_available_bytes(), _cgroup_bytes())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on any device."""
    return isinstance(error, MemoryError) or any(each in str(error).lower() for each in MEMORY_ERRORS)


@contextmanager
def one_line_device_errors(device: torch.device, work: str, advice: str) -> Iterator[None]:
    """Inside, too little memory and a failed device become BadInput.

    Args:
        device: Where the work runs.
        work: The computation with its size, e.g. "a batch of 4 images of 512x512".
        advice: Settings that need less memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        words = str(error)
        if is_out_of_memory(error):
            free = free_bytes(device) / 1e9
            raise BadInput(f"{device}: too little memory for {work} ({free:.1f} GB free); {advice}") from error
        if any(each in words for each in DEVICE_ERRORS):
            reason = words.partition("\n")[0]
            raise BadInput(f"{device}: the device failed during {work} ({reason}); run the command again") from error
        raise


class _Ieee:
    """Passes that run in full precision now, in all threads, and the setting from before the first."""

    lock = threading.Lock()
    running = 0
    before: tuple[str, str] = ("", "")


@contextmanager
def ieee_fp32(device: torch.device | None = None) -> Iterator[None]:
    """Inside, CUDA multiplies fp32 in full precision: TF32, cuDNN's default, keeps 10 bits of the mantissa.

    The setting is the process's. It changes back when the last thread that is inside leaves. Nothing changes for a
    `device` without CUDA.
    """
    if device is not None and device.type != "cuda":
        yield
        return
    import torch

    convolutions: Any = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    products: Any = torch.backends.cuda.matmul
    with _Ieee.lock:
        if not _Ieee.running:
            _Ieee.before = convolutions.fp32_precision, products.fp32_precision
            convolutions.fp32_precision = products.fp32_precision = "ieee"
        _Ieee.running += 1
    try:
        yield
    finally:
        with _Ieee.lock:
            _Ieee.running -= 1
            if not _Ieee.running:
                convolutions.fp32_precision, products.fp32_precision = _Ieee.before


def _available_bytes() -> int:
    """Free memory of the machine by the kernel's estimate; without one, half of all memory."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            kilobytes = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
        return kilobytes * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if hasattr(os, "sysconf") else 2**31


def _cgroup_bytes() -> int:
    """Memory left under the container's limit; the largest number if there is none."""
    group = Path("/sys/fs/cgroup")
    try:  # "max" is no number
        return max(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()), 0)
    except (OSError, ValueError):
        return 2**62
