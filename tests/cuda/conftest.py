"""Tests that need a CUDA card; `make test-cuda` runs them."""

from __future__ import annotations

import os

import pytest
import torch

from tests.tiers import below

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch reads it once, at the first product on a card
DEVICE = os.environ.get("UNPAIRED_TEST_DEVICE", "cuda")


@pytest.fixture
def device():
    """The card; another device with UNPAIRED_TEST_DEVICE, to run the bodies of the tests that take this."""
    return DEVICE


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available() and DEVICE == "cuda":
        for item in items:
            if below(item.path, ["cuda"]):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA card, and torch finds none"))
