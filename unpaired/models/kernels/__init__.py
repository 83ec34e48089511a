"""The maths of the networks in less time: one door, `optimize`, to kernels for CPUs and for CUDA cards.

Networks do not import it. A chain of layers gets a new `forward` that computes several layers at once; its
layers, their weights and their names stay where they are. Kernels for CPUs never run on a card, nor the others on a
CPU; where there are none, the layers run as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor, nn

from unpaired.core.device import without_autocast
from unpaired.models.kernels.plan import Operations
from unpaired.models.trace import Untraceable, trace

Backend = Literal["cpu", "cuda", "none"]
"""Whose kernels: units for CPUs, Triton's for CUDA, none."""
FIRST_CAPABILITY = (7, 0)
"""Of CUDA cards: the first that Triton generates code for."""


def optimize(network: nn.Module, device: torch.device, precision: torch.dtype, backend: Backend | None = None) -> None:
    """Let a network on its device compute in fp32 or bf16, by kernels where there are some; in place.

    Weights stay in fp32 and under their names; inputs and outputs stay in fp32. The network, in the memory layout it is
    to be used in, may be copied, moved to evaluation, loaded and trained as before. `checkpoint_blocks` and
    `make_deterministic` come before, and exports take a network that was not optimized. Kernels have no second
    derivative: a network marked `twice_differentiable` keeps its plain layers, in fp32. `backend` is the device's own
    unless given.
    """
    if getattr(network, "twice_differentiable", False):
        network.forward = partial(_in_fp32, network.forward)
        return
    planner = _planner(backend or backend_of(device), precision)
    if planner is not None:
        _replace(network, planner, outermost=True)
    if precision != torch.float32:
        network.register_forward_pre_hook(lambda _module, inputs: tuple(x.to(precision) for x in inputs))
        network.register_forward_hook(lambda _module, _inputs, output: output.float())


def _in_fp32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with without_autocast(x.device):
        return forward(x.float())


def describe_kernels(device: torch.device, precision: torch.dtype) -> str:
    """The kernels that `optimize` uses there, in words for the first line of a run."""
    numbers = {torch.float32: "fp32", torch.bfloat16: "bf16 networks, fp32 weights"}
    words = {"cpu": "fused layers", "cuda": "Triton units", "none": "plain layers"}
    return f"{numbers[precision]}, {words[backend_of(device)]}{why_no_kernels(device)}"


def backend_of(device: torch.device) -> Backend:
    """Whose kernels run on this device."""
    if device.type == "cpu":
        return "cpu"
    return "none" if device.type != "cuda" or why_no_kernels(device) else "cuda"


@contextmanager
def refreshed(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, low-precision copies of these networks' weights are those of the entry: one copy for many passes.

    For a training step, whose weights change at its end only, and for translating. The copies keep their place in
    memory, so that a CUDA graph may be recorded inside. Elsewhere every pass makes its own.
    """
    with ExitStack() as stack:
        for module in (module for network in networks for module in network.modules()):
            if held := getattr(vars(module).get("forward"), "held", None):
                stack.enter_context(held())
        yield


Planner = Callable[[Operations, bool], Callable[[Tensor], Tensor]]
"""Makes the forward pass of a chain from its operations and from whether its result leaves the network."""


def _planner(backend: Backend, precision: torch.dtype) -> Planner | None:
    if backend == "cpu":
        from unpaired.models.kernels.cpu.units import plan

        return lambda operations, _outermost: plan(operations)
    if backend == "cuda":
        from unpaired.models.kernels.cuda.plan import CudaPlan

        return lambda operations, outermost: CudaPlan(operations, precision, outermost)
    return None


def _replace(module: nn.Module, planner: Planner, outermost: bool) -> None:
    """Give a fast forward pass to every outermost chain that can be traced, and to the chains inside its leaves."""
    if isinstance(module, nn.Sequential):
        try:
            operations = trace(module)
        except Untraceable:
            pass
        else:
            module.forward = planner(operations, outermost)  # pyright: ignore[reportAttributeAccessIssue]
            for operation in operations:
                if operation is not None and isinstance(operation.work, nn.Module):
                    _replace(operation.work, planner, outermost=False)
            return
    for child in module.children():
        _replace(child, planner, outermost)


@cache
def why_no_kernels(device: torch.device) -> str:
    """Why a CUDA card has no kernels, in brackets; empty where it has some, and for other devices."""
    if device.type != "cuda":
        return ""
    if find_spec("triton") is None:
        return " (Triton is not installed)"
    if torch.cuda.get_device_capability(device) < FIRST_CAPABILITY:
        return f" (Triton needs a card of capability {FIRST_CAPABILITY[0]}.{FIRST_CAPABILITY[1]})"
    return ""
