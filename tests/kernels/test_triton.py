"""The Triton kernels without a card: interpreted beside torch, and compiled for Hopper.

Triton reads TRITON_INTERPRET when a kernel is defined, so the interpreted tests have a process of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is for Linux")
pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


def run(*args: str, **environment: str) -> str:
    """What a Python process prints; its failure is this test's."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *args]
    done = subprocess.run(command, env=env, cwd=HERE.parents[1], capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_interpreted_kernels_equal_torch():
    found = run("-m", "pytest", "-p", "no:cacheprovider", str(HERE / "interpreted"), TRITON_INTERPRET="1")
    assert "passed" in found and "skipped" not in found


def test_every_kernel_compiles_for_hopper_without_spilling():
    found = run("-m", "tests.kernels.compiled").splitlines()
    assert len(found) == 6 and all(line.endswith("local memory 0 bytes") for line in found)
