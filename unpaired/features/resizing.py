"""The three ways in which the field brings an image to a network's size; FID differs between them.

Source: Parmar, Zhang, Zhu, On Aliased Resizing, CVPR 2022 (arXiv:2104.11222).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

ResizeName = Literal["clean", "pytorch-fid", "tensorflow"]
Levels = Float[Tensor, "3 side side"]
"""From 0 to 255, not rounded."""
Resize = Callable[[NDArray[np.uint8], int], Levels]


def clean(image: NDArray[np.uint8], side: int) -> Levels:
    """clean-fid's: Pillow's bicubic filter, which widens when it shrinks, channel by channel in floats, not rounded."""
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in image.transpose(2, 0, 1)]
    resized = [np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)) for plane in planes]
    return torch.from_numpy(np.stack(resized).clip(0, 255))


def pytorch_fid(image: NDArray[np.uint8], side: int) -> Levels:
    """pytorch-fid's: bilinear between the nearest four pixels, so that shrinking aliases."""
    x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
    return functional.interpolate(x, (side, side), mode="bilinear", align_corners=False)[0]


def tensorflow(image: NDArray[np.uint8], side: int) -> Levels:
    """TensorFlow 1's, and torch-fidelity's: the same, with pixels counted from their corners."""
    x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()
    return _lerp(_lerp(x, 1, side), 2, side)


def _lerp(x: Tensor, axis: int, side: int) -> Tensor:
    length = x.shape[axis]
    place = torch.arange(side, dtype=torch.float32) * (length / side)
    first = place.floor().long()
    second = (first + 1).clamp(max=length - 1)
    share = (place - first).reshape([side if k == axis else 1 for k in range(3)])
    low, high = x.index_select(axis, first), x.index_select(axis, second)
    return low + (high - low) * share


RESIZE: dict[ResizeName, Resize] = {"clean": clean, "pytorch-fid": pytorch_fid, "tensorflow": tensorflow}
