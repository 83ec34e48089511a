"""torch's Adam, given every tensor as it lies in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """The same bits in less time: torch's fused kernel for CPUs copies every gradient in channels_last, for no use.

    Adam treats each value by itself, so it may see a tensor's dimensions in any order, the same one in all of them.
    """

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        is_complex = super()._init_group(group, *lists)
        for tensors in lists:
            tensors[:] = [_as_it_lies(tensor) for tensor in tensors]
        return is_complex


def _as_it_lies(tensor: Tensor) -> Tensor:
    """A view of what is channels_last whose dimensions are in the order of its memory; else the tensor itself."""
    in_order = tensor.dim() != 4 or tensor.is_contiguous()
    return tensor if in_order else tensor.detach().permute(0, 2, 3, 1)
