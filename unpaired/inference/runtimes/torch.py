"""The network itself."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from unpaired.imaging.images import Array, Images
from unpaired.models import Generator
from unpaired.models.kernels import optimize


@dataclass(frozen=True)
class TorchRuntime:
    """A generator in evaluation mode, in fp32."""

    network: Generator
    channels_in: int
    channels_out: int
    label: str = "torch fp32"
    dtype: torch.dtype = torch.float32
    """What the network computes in."""

    @classmethod
    def fast(cls, network: Generator, channels_in: int, channels_out: int, dtype: torch.dtype) -> TorchRuntime:
        """An optimized copy of the network, in fp32 (equal but for rounding) or bf16 (a little coarser)."""
        copy = deepcopy(network).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimize(copy, next(copy.parameters()).device, dtype)
        name = "bf16" if dtype == torch.bfloat16 else "fp32"
        return cls(copy, channels_in, channels_out, f"torch {name} fused", dtype)

    @torch.inference_mode()
    def translate(self, images: Images) -> Images:
        """A batch in [-1, 1] at any size: reflected out to what the network divides by, and cut back."""
        height, width = images.shape[2:]
        padded = pad_to_multiple(images, self.network.size_multiple, self.network.min_size)
        return self.network(padded)[..., :height, :width].to(images.dtype)

    def __call__(self, images: Array) -> Array:
        """`translate` for arrays."""
        return self.translate(torch.from_numpy(images)).numpy()


def pad_to_multiple(images: Tensor, multiple: int, min_size: int = 1) -> Tensor:
    """Reflect at the right and bottom until both sides divide; images too small to reflect repeat their edge.

    Args:
        images: A batch.
        multiple: What both sides must divide by.
        min_size: Sides shorter than this grow to it, which must divide by `multiple` itself.
    """
    height, width = images.shape[2:]
    bottom, right = (max(min_size - side, -side % multiple) for side in (height, width))
    if not bottom and not right:
        return images
    mode = "reflect" if bottom < height and right < width else "replicate"
    return pad(images, (0, right, 0, bottom), mode=mode)
