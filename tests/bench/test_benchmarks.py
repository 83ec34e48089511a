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


def point(side, **values):
    return {"side": side, **growth.BASE, "size": 32, "width": 4, "blocks": 1, **values}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_point_of_growth_is_measured_in_processes_of_its_own(processes):
    _, _, *command = growth.command(point("bf16 checkpointed", processes=processes))
    done = run(*command)
    found = json.loads(done.stdout)
    assert found["seconds"] > 0 and found["megabytes"] > 0


def test_growth_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "AXES", {"names": ([20, 40], [growth.LISTING])})
    known = {"side": growth.LISTING, **growth.BASE, "names": 20, "seconds": 123.0, "megabytes": 1.0}
    out = tmp_path / "growth.json"
    out.write_text(json.dumps([known]))
    growth.measure(out, ["names"], [growth.LISTING])
    first, second = json.loads(out.read_text())
    assert first == known
    assert second["names"] == second["listed"] == 40 and 0 < second["seconds"] < 123


def test_table_and_plots_show_the_points():
    found = [
        {"side": side, **growth.BASE, "size": size, "seconds": size * factor, "megabytes": 10.0 * size}
        for side, factor in (("plain", 2.0), ("bf16", 1.0))
        for size in (64, 128)
    ]
    found.append({"side": growth.LISTING, **growth.BASE, "names": 1_000_000, "seconds": 4.0, "megabytes": 441.0})
    rows = growth.table(found).splitlines()
    assert "| size 128 | 256 s, 1280 MB |  | 128 s, 1280 MB |  |" in rows
    assert "| names 1,000,000 | 4 s, 441 MB | | | |" in rows
    drawn = growth.draw(found, "seconds", "Seconds")
    assert drawn.count("<polyline") == 4 + 4 + 4 + 3 + 1 and ">1M<" in drawn


def test_the_whole_run_is_measured_beside_its_bare_step():
    done = run("benchmarks.end_to_end", "--preset", "smoke", "--images", "8", "--steps", "12", "--block", "2")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["steps_per_epoch"] == 4 and found["settings"] == {"optim.steps": "12"}
    assert found["first_epoch"]["blocks"] == 1 and found["later"]["blocks"] == 3  # neither the run's first nor last
    assert all(0.02 < found[part]["share_of_bare_rate"] < 5 for part in ("first_epoch", "later"))
    assert found["start_s"] > 0 and found["bare_ms"] > 0
    extras, loader = found["extras"], found["loader"]
    assert extras["share"] == pytest.approx((extras["log_ms"] + extras["ema_ms"]) / extras["step_ms"], rel=0.1)
    assert loader["decoded_ms"] > loader["kept_ms"] > 0  # 1024 x 768 decoded, or cropped alone
    assert loader["batches_a_bare_step"]["kept_ms"] == pytest.approx(found["bare_ms"] / loader["kept_ms"], rel=0.1)
