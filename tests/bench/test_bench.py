import ast
import json
from pathlib import Path

import pytest
import torch

from unpaired.bench import Case, bench, plain_cyclegan
from unpaired.bench.timing import Taken, Timing, interleaved
from unpaired.cli import run
from unpaired.config import RuntimeConfig
from unpaired.core.errors import BadInput

TINY = ["--size", "32", "--width", "4", "--blocks", "1", "--repeats", "2", "--device", "cpu"]


def tiny(name, precision, **settings):
    runtime = RuntimeConfig(device="cpu", precision=precision)
    return bench(
        Case(**{"name": name, "size": 32, "width": 4, "blocks": 1, "repeats": 1, "runtime": runtime} | settings)
    )


@pytest.mark.parametrize("case", ["train", "translate"])
def test_the_last_line_is_json_with_medians_ratio_spread_and_where_it_was_measured(capsys, case):
    assert run(["bench", case, *TINY]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out.splitlines()[-1])
    assert result["case"] == case and result["size"] == 32
    assert result["ratio"] == pytest.approx(result["reference_ms"] / result["median_ms"], rel=0.01)
    for key, (low, high) in result["spread"].items():
        assert low <= result[key] <= high
    assert result["versions"]["torch"] == torch.__version__
    assert result["threads"] == torch.get_num_threads()
    assert "times as fast" in err


def test_json_leaves_the_table_out(capsys):
    assert run(["bench", "translate", *TINY, "--json"]) == 0
    assert "times as fast" not in capsys.readouterr().err


def test_both_sides_of_the_training_case_do_the_same():
    assert tiny("train", "exact")["terms_apart"] == 0
    assert tiny("train", "fp32")["terms_apart"] < 1e-5
    assert 0 < tiny("train", "bf16")["terms_apart"] < 0.1


def test_both_sides_of_the_translating_case_do_the_same():
    assert tiny("translate", "exact")["levels_apart"] == 0
    assert tiny("translate", "fp32")["levels_apart"] < 0.01
    assert tiny("translate", "bf16")["levels_apart"] < 3


def test_the_plain_reference_stands_alone():
    """Its imports: torch, numpy and the standard library; nothing of the package it is compared with."""
    tree = ast.parse(Path(plain_cyclegan.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"__future__", "itertools", "numpy", "torch"}


@pytest.mark.parametrize(("flag", "value"), [("size", "30"), ("size", "16"), ("width", "0"), ("repeats", "0")])
def test_impossible_sizes_are_refused_in_one_line(capsys, flag, value):
    assert run(["bench", "train", f"--{flag}", value]) == 2
    assert f"--{flag} {value}: expected" in capsys.readouterr().err


def test_a_case_is_refused_by_its_own_check_too():
    with pytest.raises(BadInput, match="multiple of 4"):
        Case(name="train", size=33)


def test_runs_take_turns_and_the_first_round_does_not_count():
    order = []
    work = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    times = interleaved(work, torch.device("cpu"), repeats=2)
    assert order == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in times.items()} == {"a": 2, "b": 2}
    assert all(isinstance(each, Taken) and each.seconds >= 0 for taken in times.values() for each in taken)


def test_a_timing_is_median_and_percentiles_in_milliseconds():
    assert Timing.of([k / 1000 for k in range(11)]) == Timing(median=5.0, low=1.0, high=9.0)
