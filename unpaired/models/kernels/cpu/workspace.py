"""Room for values that live only inside one layer, used again by the next layer.

Asked for anew each time, megabytes go back and forth between the program and the system, which clears every page, and
what is kept lies scattered between them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

MOST = 16 * 2**20
"""Bytes above which a place is not kept: those of large images would stay for nothing."""


class Workspace(threading.local):
    """Places by name, each thread's own. Two values in use at a time need two names."""

    def __init__(self) -> None:
        """No place yet."""
        self.places: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of any content, in `like`'s precision and on its device, until `name` is taken again."""
        size, key = math.prod(shape), (name, like.dtype)
        if size * like.element_size() > MOST or like.device.type != "cpu":
            return like.new_empty(shape)
        place = self.places.get(key)
        if place is None or len(place) < size:
            with torch.inference_mode(False):  # else it could not be written to outside that mode
                place = self.places[key] = torch.empty(size, dtype=like.dtype)
        return place[:size].view(shape)
