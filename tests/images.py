"""Images made by formula, the same everywhere."""

from __future__ import annotations

import numpy as np
import torch


def waves(x_period, y_period, height=64, width=72):
    """One colour image of crossing waves, (1, 3, height, width) in [-1, 1]."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return torch.stack([torch.sin(x / x_period + c) * torch.cos(y / (y_period + c)) for c in range(3)])[None]


def wave_levels(height=64, width=80):
    """The same as 8-bit levels, (height, width, 3)."""
    image = (127.5 + 127 * waves(7, 5, height, width)[0]).round().to(torch.uint8)
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
