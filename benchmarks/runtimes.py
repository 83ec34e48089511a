"""How fast each runtime translates, beside the network in eager fp32.

    python -m benchmarks.runtimes MODEL [--size 256] [--rounds 15]

MODEL is a run or a bundle, or `paper`: the published generator (9 blocks, width 64) with the weights that training
starts from, whose speed is that of trained ones. Rounds are interleaved: every runtime once, then every one again, so
that what else the machine does falls on all of them. Prints a table on stderr and one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unpaired.checkpoints.bundle import BUNDLE, load_bundle, save_bundle
from unpaired.experiment import build_method
from unpaired.export import export
from unpaired.export.openvino import write_openvino
from unpaired.imaging.images import Array
from unpaired.inference.runtimes import Runtime, open_exported
from unpaired.inference.runtimes.bundles import torch_runtime
from unpaired.inference.runtimes.facts import PRECISIONS
from unpaired.inference.runtimes.torch import CPU, TorchRuntime
from unpaired.presets import horse2zebra


def published(folder: Path) -> Path:
    experiment = horse2zebra()
    save_bundle(folder / BUNDLE, experiment, build_method(experiment), step=0)
    return folder / BUNDLE


def runtimes(model: Path, folder: Path, images: Array) -> dict[str, Runtime]:
    """Every runtime by its label, the plain one first; int8 takes its ranges from `images`, enough for speed."""
    plain = torch_runtime(load_bundle(model), "AtoB")
    fast = [TorchRuntime.placed(plain.network, (3, 3), CPU, dtype) for dtype in (torch.float32, torch.bfloat16)]
    onnx = export(model, folder, "onnx")
    facts = open_exported(onnx).facts
    for precision in PRECISIONS:
        write_openvino(onnx, replace(facts, precision=precision), list(images), folder / f"{precision}.xml")
    exported = [open_exported(path) for path in (onnx, *(folder / f"{precision}.xml" for precision in PRECISIONS))]
    return {each.label: each for each in (plain, *fast, *exported)}


def interleaved(works: dict[str, Callable[[], object]], rounds: int, warmup: int = 2) -> dict[str, list[float]]:
    """Milliseconds of each work, round by round."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warmup + rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn >= warmup:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, args.size, args.size)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        model = published(Path(folder)) if args.model == "paper" else Path(args.model)
        engines = runtimes(model, Path(folder) / "exports", images)
        times = interleaved({name: lambda each=each: each(images) for name, each in engines.items()}, args.rounds)
    plain = np.array(times["torch fp32"])
    rows = {
        name: {"median_ms": round(float(np.median(each)), 1), "ratio": round(float(np.median(plain / each)), 2)}
        for name, each in ((name, np.array(values)) for name, values in times.items())
    }
    for name, row in rows.items():
        print(f"{name:14} {row['median_ms']:8.1f} ms  {row['ratio']:5.2f} x", file=sys.stderr)
    print(
        json.dumps({"case": "runtimes", "size": args.size, "cores": os.cpu_count(), "torch": torch.__version__, **rows})
    )


if __name__ == "__main__":
    main()
