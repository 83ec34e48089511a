"""Images per second of one process and of several on this machine, one thread each, runs interleaved.

    python -m benchmarks.scaling DATA [--processes 2] [--pairs 3] [--steps 20] [any setting of train]

The last line is JSON: medians, their ratio over the number of processes (the efficiency), and the bytes that a step
sums over the processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from unpaired.experiment import build_method, read_experiment


def speed(run: Path) -> float:
    """Median images per second of a run's lines, the first left out as warm-up."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(line["images_per_second"] for line in lines[1:])


def train(data: Path, run: Path, processes: int, steps: int, settings: list[str]) -> float:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = ["-m", "unpaired", "train", "earth", "--data", str(data), "--out", str(run), "--steps", str(steps)]
    often = ["--runtime.log-every", str(max(1, steps // 5)), "--runtime.threads", "1", "--runtime.samples", "1"]
    words = [sys.executable, *(launcher if processes > 1 else []), *command, *often, *settings]
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return speed(run)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    args, settings = parser.parse_known_args()
    one, several = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(args.pairs):
            one.append(train(args.data, Path(folder) / f"one{pair}", 1, args.steps, settings))
            several.append(train(args.data, Path(folder) / f"several{pair}", args.processes, args.steps, settings))
        method = build_method(read_experiment(Path(folder) / "one0/config.yaml"))
    alone, together = statistics.median(one), statistics.median(several)
    result = {
        "processes": args.processes,
        "images_per_second": {"1": one, str(args.processes): several},
        "efficiency": round(together / alone / args.processes, 3),
        "megabytes_summed_per_step": round(4e-6 * sum(p.numel() for p in method.parameters()), 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
