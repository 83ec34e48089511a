"""Runs killed and stopped again and again end as if nothing had happened: see storm.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.processes import PROJECT

pytestmark = pytest.mark.promise("kill storm")


def storm(work, *words):
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.storm", *map(str, words), "--work", str(work)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_run_killed_three_times_ends_as_an_uninterrupted_one(tmp_path):
    result = storm(tmp_path, "kill", "--times", 3, "--steps", 30)
    assert result["equal"] and result["interrupted"] == 3


@pytest.mark.torture
@pytest.mark.timeout(3000)
def test_a_run_killed_fifty_times_ends_as_an_uninterrupted_one(tmp_path, promise):
    result = storm(tmp_path, "kill", "--times", 50, "--steps", 300)
    assert result["interrupted"] == 50 and result["inside_a_save"] >= 5
    promise(
        f"50 of 50 SIGKILLs in {result['steps']} steps, {result['inside_a_save']} of them inside a save: the SHA-256 "
        f"of all state equal, nothing left over, {result['seconds']:.0f} s"
    )


@pytest.mark.torture
@pytest.mark.timeout(3000)
@pytest.mark.promise("exact resume")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_run_stopped_twenty_times_ends_as_an_uninterrupted_one(tmp_path, promise, workers):
    result = storm(tmp_path, "stop", "--times", 20, "--steps", 150, "--workers", workers)
    assert result["interrupted"] == 20 and result["exit_codes"] == [75]
    promise(
        f"{workers} workers: 20 of 20 SIGTERMs in {result['steps']} steps, slowest exit {result['slowest_exit_s']} s, "
        f"the SHA-256 of all state equal"
    )
