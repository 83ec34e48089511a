"""These tests run in a process of their own, with TRITON_INTERPRET=1: `tests/kernels/test_triton.py` starts it."""

import os

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def large_tiles(monkeypatch):
    """Few programs, since the interpreter takes about as long for a program of any size."""
    from unpaired.models.kernels.cuda import tuning

    monkeypatch.setattr(tuning, "VALUES", 2**16)
    monkeypatch.setattr(tuning, "CHANNELS", 256)
