"""torch's Adam on views in memory order, with its state made at once."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """Adam over views of the parameters that are contiguous in memory: the same bits in less time.

    Torch's fused kernel for CPUs copies every gradient in channels_last. Adam updates each value by itself, so it may
    see a tensor's dimensions in any order, the same one for weight, gradient and moments.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        fused: bool | None = None,
    ) -> None:
        """Parameters of networks that stay where they are in memory: weights are loaded in place."""
        self.given = list(parameters)
        """The parameters, in the order of their gradients and of the state."""
        views = [_in_memory_order(parameter.detach(), parameter) for parameter in self.given]
        super().__init__(views, lr=lr, betas=betas, fused=fused)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Torch's, without its decorator for torch.compile, which imports torch._dynamo: seconds at every start."""
        inspect.unwrap(torch.optim.Adam.add_param_group)(self, param_group)

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Torch's, without its decorator and without a closure."""
        inspect.unwrap(torch.optim.Adam.step)(self)

    @property
    def views(self) -> list[Tensor]:
        """The tensors that are updated: each given parameter with its dimensions in memory order."""
        return self.param_groups[0]["params"]

    def follow(self, gradients: Sequence[Tensor | None]) -> None:
        """Take a step down the gradients, None for no change; RuntimeError if a parameter's memory has moved."""
        for parameter, view, gradient in zip(self.given, self.views, gradients, strict=True):
            if view.data_ptr() != parameter.data_ptr():
                raise RuntimeError("a parameter was moved or cast after its optimiser was made")
            view.grad = None if gradient is None else _in_memory_order(_laid_out(gradient, parameter), parameter)
        self.step()
        for view in self.views:
            view.grad = None  # their memory is for the passes of the other networks

    def moments(self) -> list[dict[str, Tensor]]:
        """Step counter and moments of each parameter, as tensors of its shape that share the optimiser's memory."""
        return [
            {key: _in_shape(value, parameter) for key, value in self.state[view].items()}
            for parameter, view in zip(self.given, self.views, strict=True)
        ]

    def set_lr(self, lr: float) -> None:
        """Set the learning rate; one that is a tensor keeps its address."""
        (group,) = self.param_groups
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr

    def make_capturable(self) -> None:
        """Keep learning rates and step counters on the device, so that a CUDA graph reads them there."""
        (group,) = self.param_groups
        group["capturable"], group["lr"] = True, torch.tensor(float(group["lr"]), device=self.views[0].device)
        self._warned_capturable_if_run_uncaptured = True  # the warm-up runs uncaptured on purpose

    def create_state(self) -> None:
        """Make the state of torch's first step now, at addresses that do not change: a checkpoint is copied into it."""
        (group,) = self.param_groups
        dtype = torch.float32 if group["fused"] else torch.tensor(0.0).dtype
        for view in self.views:
            device = view.device if group["fused"] or group["capturable"] else torch.device("cpu")
            step = torch.zeros((), dtype=dtype, device=device)
            self.state[view] = {"step": step, "exp_avg": torch.zeros_like(view), "exp_avg_sq": torch.zeros_like(view)}


def _is_permuted(parameter: Tensor) -> bool:
    """Whether a parameter is in channels_last memory, and so seen through a permuted view."""
    return parameter.dim() == 4 and not parameter.is_contiguous()


def _in_memory_order(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A tensor laid out as its parameter, with the dimensions in the order of the parameter's memory."""
    return tensor.permute(0, 2, 3, 1) if _is_permuted(parameter) else tensor


def _in_shape(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The inverse of `_in_memory_order`; a step counter has no dimensions and stays as it is."""
    return tensor.permute(0, 3, 1, 2) if tensor.dim() and _is_permuted(parameter) else tensor


def _laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """The gradient in its parameter's memory layout, as autograd leaves it in `.grad`."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter, requires_grad=False).copy_(gradient)
