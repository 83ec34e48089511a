"""The benchmark of a card measures both sides."""

from __future__ import annotations

import json

from tests.bench.test_benchmarks import run


def test_the_gpu_benchmark_measures_both_sides():
    done = run("benchmarks.gpu", "--size", "64", "--batches", "1", "--repeats", "3")
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["batches"][0]["ratio"] > 0 and result["batches"][0]["gflop"] > 0
