"""Tests that need a CUDA card; `make test-cuda` runs them."""

from __future__ import annotations

import pytest
import torch

from tests.tiers import below


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if below(item.path, ["cuda"]):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA card, and torch finds none"))
