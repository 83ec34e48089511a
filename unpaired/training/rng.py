"""The random states of a process: those of Python, NumPy, torch, CUDA and MPS, as tensors."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed every global generator."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)  # CUDA's and MPS's too


def rng_state() -> dict[str, Tensor]:
    """The state of every global generator; whole numbers below 2**53 are exact in float64."""
    _, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor([*words, gauss is not None, gauss or 0], dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), position, has_gauss, cached], dtype=torch.float64),  # pyright: ignore
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: Mapping[str, Tensor]) -> None:
    """Restore what `rng_state` gave; a generator that is not in it keeps its state."""
    if "torch" in state:
        torch.set_rng_state(state["torch"])
    if "python" in state:
        *words, has_gauss, gauss = state["python"].tolist()
        random.setstate((3, tuple(map(int, words)), gauss if has_gauss else None))
    if "numpy" in state:
        *keys, position, has_gauss, cached = state["numpy"].tolist()
        np.random.set_state(("MT19937", np.array(keys, np.uint32), int(position), int(has_gauss), cached))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
