"""torch's Adam with its state made at once, and without copies of channels_last gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """The same bits in less time: torch's fused kernel for CPUs copies every gradient in channels_last, for no use.

    Adam updates each value by itself, so it may see a tensor's dimensions in any order, the same one in all of them.
    """

    def parameters(self) -> list[nn.Parameter]:
        """All, in the order in which they were given."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def set_lr(self, lr: float) -> None:
        """Set the learning rate; one that is a tensor keeps its address."""
        for group in self.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def make_capturable(self) -> None:
        """Keep learning rates and step counters on the device, so that a CUDA graph reads them there."""
        for group in self.param_groups:
            device = group["params"][0].device
            group["capturable"], group["lr"] = True, torch.tensor(float(group["lr"]), device=device)
        self._warned_capturable_if_run_uncaptured = True  # the warm-up runs uncaptured on purpose

    def create_state(self) -> None:
        """Make every moment and step counter as torch makes it at a parameter's first step.

        So all state exists from the start, at addresses that do not change: a checkpoint is copied into it.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                device = parameter.device if group["fused"] or group["capturable"] else torch.device("cpu")
                dtype = torch.float32 if group["fused"] else torch.tensor(0.0).dtype
                self.state[parameter] = {
                    "step": torch.zeros((), dtype=dtype, device=device),
                    "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                    "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
                }

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        is_complex = super()._init_group(group, *lists)
        for tensors in lists:
            tensors[:] = [_in_memory_order(tensor) for tensor in tensors]
        return is_complex


def _in_memory_order(tensor: Tensor) -> Tensor:
    """A channels_last tensor's view whose dimensions are in the order of its memory; any other tensor itself."""
    in_order = tensor.dim() != 4 or tensor.is_contiguous()
    return tensor if in_order else tensor.detach().permute(0, 2, 3, 1)
