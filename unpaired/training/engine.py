"""Device, precision and memory layout: how a step is computed, not what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unpaired.config import RuntimeConfig
from unpaired.core.device import describe_threads, pick_device
from unpaired.methods import Batch, Fakes, Losses, LossFunction, compute_losses
from unpaired.models.deterministic import make_deterministic
from unpaired.models.kernels import describe_kernels, optimize
from unpaired.models.resnet import checkpoint_blocks
from unpaired.training.concurrency import (
    Result,
    half_of_the_threads,
    run_in_halves,
    run_on_streams,
    run_on_threads,
    run_sequentially,
)
from unpaired.training.graphs import (
    Compute,
    StaticSteps,
    Values,
    graph_fills_card,
    on_recording_stream,
    record_cuda_graph,
)
from unpaired.training.optimizer_step import Gradients, NotFinite, OptimizerStep, PendingChecks
from unpaired.training.processes import join_processes, synchronise_norms


class LossResult(NamedTuple):
    """One loss function, evaluated."""

    losses: Losses
    fakes: Fakes
    gradients: Gradients


class Engine:
    """Places networks and batches on the device, and computes losses with their gradients."""

    def __init__(self, cfg: RuntimeConfig) -> None:
        self.processes, self.device = join_processes(pick_device(cfg.device, "runtime.device"))
        self.dtype = pick_dtype(cfg.precision, self.device)
        self.fast = cfg.precision != "exact"
        """Whether sums may be rounded in another order; if not, a step equals the official one bit for bit."""
        self.layout = torch.channels_last if self.fast else torch.contiguous_format
        if cfg.threads:
            torch.set_num_threads(cfg.threads)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # Triton, streams and graphs take the current device
        self.cfg = cfg
        self.concurrent = False
        """Whether independent losses run at the same time."""
        self.seen_shapes: set[tuple[torch.Size, ...]] = set()
        """Shapes of the batches of earlier steps."""
        self.pending = PendingChecks() if self.device.type == "cuda" else None
        """Finite checks to be read later; None where reading costs nothing."""
        if self.device.type == "cuda" and self.fast and not cfg.deterministic:
            torch.backends.cudnn.benchmark = True

    def steps(self, compute: Compute) -> StaticSteps:
        """How steps run: on CUDA from a recorded graph, if the settings and the number of processes allow that."""
        if self.device.type != "cuda" or not self.cfg.cuda_graphs or self.processes.count > 1:
            return StaticSteps(compute, None)
        return StaticSteps(on_recording_stream(compute), record_cuda_graph, graph_fills_card)

    def describe(self) -> str:
        """Device, threads and precision in a few words, for the line at the start of a run."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        several = f"{self.processes.count} processes of " if self.processes.count > 1 else ""
        how = describe_kernels(self.device, self.dtype) if self.fast else "fp32 as published"
        ways = {"cpu": " in two halves", "cuda": ", two streams"}[self.device.type] if self.concurrent else ""
        if self.device.type == "cuda" and self.cfg.cuda_graphs and self.processes.count == 1:
            ways += ", one graph a step"
        return f"{several}{name}, {describe_threads()}{ways}, {how}"

    def place(self, networks: Mapping[str, nn.Module]) -> None:
        """Move networks to the device and its memory layout; their outputs are fp32, so losses are exact."""
        for network in networks.values():
            self._place(network)
        marks = (nn.Dropout, nn.BatchNorm2d)  # with these the order of passes shows
        ordered = any(isinstance(module, marks) for network in networks.values() for module in network.modules())
        able = self.device.type == "cuda" or (self.device.type == "cpu" and torch.get_num_threads() > 1)
        self.concurrent = self.fast and able and self.processes.count == 1 and not ordered

    def _place(self, network: nn.Module) -> None:
        if self.cfg.deterministic:
            make_deterministic(network)
        if self.processes.count > 1:
            synchronise_norms(network)
        network.to(self.device)
        network.to(memory_format=self.layout)  # pyright: ignore[reportCallIssue]
        # the penalty's derivatives would pass through translations too
        merge = self.fast and not getattr(network, "twice_differentiable", False)
        network.merge_passes = merge  # pyright: ignore[reportArgumentType]
        if self.cfg.checkpoint_blocks:
            checkpoint_blocks(network)
        if self.fast:
            optimize(network, self.device, self.dtype)

    def put(self, images: Tensor) -> Tensor:
        """A batch on the device, in the networks' layout."""
        if self.device.type == "cuda":
            images = images.pin_memory()  # only a copy of pinned memory is asynchronous
        on_card = self.device.type == "cuda"  # MPS would read memory that is freed by then
        return images.to(self.device, non_blocking=on_card).contiguous(memory_format=self.layout)

    def precision(self) -> AbstractContextManager[object]:
        """Inside, convolutions run in the chosen precision."""
        if self.dtype == torch.float32:
            return nullcontext()
        # fused layers round their weights themselves; on a CPU another thread would find or empty autocast's cache
        return torch.autocast(self.device.type, self.dtype, cache_enabled=self.device.type != "cpu")

    @contextmanager
    def step(self, batch: Batch) -> Iterator[None]:
        """Around one step of training: shapes that are new run without concurrency on a CPU."""
        shapes = tuple(tensor.shape for tensor in batch.tensors)
        self._run = self.runner(shapes in self.seen_shapes)
        yield
        self.seen_shapes.add(shapes)

    def runner(self, seen: bool) -> Callable[[Sequence[Callable[[], Result]]], list[Result]]:
        """What runs independent tasks here, whose shapes this process has `seen` or not."""
        if not self.concurrent:
            return run_sequentially
        if self.device.type == "cuda":
            return run_on_streams
        return run_on_threads if seen else run_in_halves

    def add(self, step: OptimizerStep, functions: Sequence[LossFunction], weight: float = 1.0) -> Fakes:
        """Compute losses and their gradients, and add them to an optimiser's step; returns the translations.

        In `exact` they are one sum with one backward pass, as in the official code. Otherwise each function has a
        backward pass of its own, and the gradients are added in the order of the functions.
        """
        if not self.fast and functions:
            functions = [partial(compute_losses, functions)]
        fakes = Fakes()
        for part in self._run([partial(self._part, each, step.parameters, weight) for each in functions]):
            step.add(part.losses, part.gradients, weight)
            fakes |= part.fakes
        return fakes

    def _part(self, function: LossFunction, parameters: Sequence[nn.Parameter], weight: float) -> LossResult:
        with self.precision():
            losses, fakes = function()
        # without their graph, which would keep the gradient accumulators of this stream for the part on the other one
        values = {name: loss.detach() for name, loss in losses.items()}
        if not parameters:
            return LossResult(values, fakes, [])
        total = torch.stack([*losses.values()]).sum()
        total = total if weight == 1 else weight * total
        return LossResult(values, fakes, torch.autograd.grad(total, parameters, allow_unused=True))

    def finish(self, step: OptimizerStep, number: int, networks: str) -> Values:
        """Check and take an optimiser's step; returns losses and health. NotFinite is raised where reading is free."""
        values: Values = {(networks, name): loss for name, loss in step.losses.items()}
        if step.optimizer is None:
            return values
        # OpenMP workers busy-wait after a parallel region, where the next pass needs the processors
        with half_of_the_threads() if self.concurrent and self.device.type == "cpu" else nullcontext():
            health = step.health()
            if self.pending is None and not bool(health.isfinite()):
                raise NotFinite(number, networks, step.losses)
            step.update(health, on_device=self.pending is not None)
        return values | {(networks, ""): health}

    def check_pending(self, keep: int = 0) -> None:
        """Read all but the last `keep` finite checks from the device; raises NotFinite if one failed."""
        if self.pending is not None:
            self.pending.check(keep)


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


@contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """Inside, torch uses no algorithm whose result depends on the order in which threads finish."""
    if not wanted:
        yield
        return
    memory: Any = torch.utils.deterministic
    strict = torch.are_deterministic_algorithms_enabled()
    before = torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory = before


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The precision of the setting; auto takes bf16 if the chip multiplies it faster than fp32."""
    if precision == "auto":
        precision = "bf16" if bf16_is_native(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def bf16_is_native(device: torch.device) -> bool:
    """Whether the chip has bf16 multiply instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    chip = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    return bool(chip.get("amx_bf16") or chip.get("avx512_bf16"))
