"""The scripts in benchmarks/, as far as they run here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import growth

ROOT = Path(__file__).resolve().parents[2]


def run(*args):
    return subprocess.run([sys.executable, "-m", *args], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_the_gpu_benchmark_says_so():
    done = run("benchmarks.gpu")
    assert done.returncode == 1 and "needs a CUDA card" in done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_on_a_card_the_gpu_benchmark_measures_both_sides():
    done = run("benchmarks.gpu", "--size", "64", "--batches", "1", "--repeats", "3")
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["batches"][0]["ratio"] > 0 and result["batches"][0]["gflop"] > 0


def test_a_point_of_growth_is_measured_in_a_process_of_its_own():
    point = {"side": "bf16 checkpointed", "size": 32, "width": 4, "batch": 1, "blocks": 1}
    done = run("benchmarks.growth", "one", "--point", json.dumps(point))
    found = json.loads(done.stdout)
    assert found["seconds"] > 0 and found["megabytes"] > 0


def test_listing_names_is_measured_on_real_files(capsys):
    found = growth.names(40)
    assert found["names"] == 40 and found["seconds"] > 0


def test_table_and_plots_show_the_points():
    found = [
        {"side": side, **growth.BASE, "size": size, "seconds": size * factor, "megabytes": 10.0 * size}
        for side, factor in (("plain", 2.0), ("bf16", 1.0))
        for size in (64, 128)
    ]
    assert "| size 128 | 256.00 s, 1280 MB | 128.00 s, 1280 MB |" in growth.table(found)
    drawn = growth.draw(found, "seconds", "Seconds")
    assert drawn.count("<polyline") == 3 * len(growth.SIDES) and "plain" in drawn
