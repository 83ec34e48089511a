"""Device, precision and memory layout: how a step is computed, not what."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unpaired.config import RuntimeConfig
from unpaired.core.errors import BadInput
from unpaired.core.parallel import sequential
from unpaired.models.deterministic import make_deterministic
from unpaired.models.kernels import describe_kernels, optimize
from unpaired.models.resnet import checkpoint_blocks
from unpaired.training.optimizer_step import OptimizerStep, PendingChecks
from unpaired.training.processes import ALONE, Processes, synchronise_norms


class Engine:
    """Puts networks and batches where they are computed, and carries out gradient steps."""

    def __init__(self, cfg: RuntimeConfig) -> None:
        self.processes, self.device = join(cfg.device)
        self.dtype = pick_dtype(cfg.precision, self.device)
        self.fast = cfg.precision != "exact"
        """Whether steps may be rounded in another order; if not, they equal the plain reference bit for bit."""
        self.layout = torch.channels_last if self.fast else torch.contiguous_format
        if cfg.threads:
            torch.set_num_threads(cfg.threads)
        self.deterministic = cfg.deterministic
        self.cfg = cfg
        self.compiled = False
        self.shapes: list[torch.Size] = []
        """Of the batches that code was generated for: those of the first step."""
        self.seen_shapes: set[tuple[torch.Size, ...]] = set()
        """Shapes of batches that a step was taken with."""
        self.abreast = False
        """Whether what needs nothing of each other is computed at the same time, by half of the threads each."""
        self.pending = PendingChecks() if self.device.type == "cuda" else None
        """Descents whose soundness has not been asked of the device yet; None where asking costs nothing."""

    def describe(self) -> str:
        """The choice in a few words, for the line at the start of a run."""
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type
        several = f"{self.processes.count} processes of " if self.processes.count > 1 else ""
        compiled = ", compiled into CUDA graphs" if self.device.type == "cuda" else ", compiled"
        kernels = describe_kernels(self.device, self.dtype)
        how = "fp32 as published" if not self.fast else kernels.split(",")[0] + compiled if self.compiled else kernels
        halves = " in two halves" if self.abreast else ""
        return f"{several}{name}, {torch.get_num_threads()} threads{halves}, {how}"

    def place(self, network: nn.Module) -> None:
        """Move a network to its device and layout; its outputs come back in fp32, so losses are exact."""
        if self.deterministic:
            make_deterministic(network)
        if self.processes.count > 1:
            synchronise_norms(network)
        network.to(self.device)
        network.to(memory_format=self.layout)  # pyright: ignore[reportCallIssue]
        if self.cfg.checkpoint_blocks:
            checkpoint_blocks(network)
        if self.fast:
            optimize(network, self.device, self.dtype, "none" if self.cfg.compile == "on" else None)

    def go_abreast(self, networks: Iterable[nn.Module]) -> bool:
        """From now on, if these networks allow it, halves of the CPU do what needs nothing of each other.

        Returns whether they do.

        Dropout and running statistics forbid it: which pass comes first would show. So do other processes, which wait
        for each other's sums in one order.
        """
        marks = (nn.Dropout, nn.BatchNorm2d)
        marked = any(isinstance(module, marks) for network in networks for module in network.modules())
        self.abreast = self._fuses and self.processes.count == 1 and torch.get_num_threads() > 1 and not marked
        return self.abreast

    def compile(self, networks: Iterable[nn.Module], steps: int) -> None:
        """Have torch generate code for the networks, where asked for or where the `steps` ahead pay for it.

        What it generates is kept on disk, so that the next run begins sooner. On CUDA ("reduce-overhead") each pass
        is also recorded as a graph and replayed in one launch; steps must then be taken inside `step`.
        """
        self.compiled = pays_to_compile(self.cfg, self.device, steps)
        if self.compiled:
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path.home() / ".cache" / "unpaired" / "compiled"))
            mode = "reduce-overhead" if self.device.type == "cuda" else None
            for network in networks:
                network.compile(dynamic=False, mode=mode)

    @contextmanager
    def step(self, *images: Tensor) -> Iterator[None]:
        """Around one step: generated code is for batches of the first step's shapes, others run as written.

        With batches of new shapes nothing is done at the same time.

        The graphs of a step keep what they computed to its end, the gradients and the fakes that the discriminators are
        shown; in the next one they may overwrite it. So nothing of a network's output may be kept that is no copy.
        """
        if self.compiled and self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        shapes = [each.shape for each in images]
        self.shapes = self.shapes or shapes
        new = tuple(shapes) not in self.seen_shapes
        with sequential(new), nullcontext() if shapes == self.shapes else self.as_written():
            yield
        self.seen_shapes.add(tuple(shapes))

    def as_written(self) -> AbstractContextManager[object]:
        """Inside, networks run as they are written, for what code would have to be generated anew."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()

    @property
    def _fuses(self) -> bool:
        """Whether layers run in units: on a CPU, unless code is to be generated for them."""
        return self.fast and self.device.type == "cpu" and self.cfg.compile != "on"

    def put(self, images: Tensor) -> Tensor:
        """A batch on the device, in the networks' layout."""
        if self.device.type == "cuda":
            images = images.pin_memory()  # only from there a copy does not wait
        return images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)

    @property
    def half(self) -> bool:
        """Whether networks compute in fewer bits than their weights have."""
        return self.dtype != torch.float32

    def precision(self) -> AbstractContextManager[object]:
        """Inside it, convolutions run in the chosen precision."""
        if not self.half:
            return nullcontext()
        # layers in units round their weights themselves; what autocast keeps, another thread would throw away or find
        return torch.autocast(self.device.type, self.dtype, cache_enabled=self.device.type != "cpu")

    def descent(self, optimizer: torch.optim.Optimizer | None, step: int) -> OptimizerStep:
        """One step of an optimiser down the terms added to it; with none, the terms are only collected."""
        return OptimizerStep(optimizer, self.processes, self.pending, step, self.abreast)

    def check_pending(self, keep: int = 0) -> None:
        """Ask the device whether all but the last `keep` descents were sound.

        Raises:
            NotFinite: one was not.
        """
        if self.pending is not None:
            self.pending.check_pending(keep)


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


def join(device: str) -> tuple[Processes, torch.device]:
    """This process's place among those that torchrun or `accelerate launch` started, and its device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE, pick_device(device)
    from accelerate import PartialState  # only here: a single process does not pay for its import

    chosen = pick_device(device)
    with warnings.catch_warnings(action="ignore"):  # of its choice of threads, which runtime.threads decides
        state = PartialState(cpu=chosen.type == "cpu")
    talk = dist.new_group(backend="gloo") if chosen.type != "cpu" else None
    return Processes(state.process_index, state.num_processes, talk), torch.device(str(state.device))


@contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """Inside, torch uses no algorithm whose result depends on the order in which threads finish."""
    if not wanted:
        yield
        return
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        memory.fill_uninitialized_memory,
    )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory = before[1:]


def pays_to_compile(cfg: RuntimeConfig, device: torch.device, steps: int) -> bool:
    """Whether compiling is asked for: by itself it never pays, since the kernels are faster on a CPU and on CUDA."""
    return cfg.compile == "on"


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
