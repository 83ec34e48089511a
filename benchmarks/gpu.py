"""The training step on a CUDA card beside the plain eager fp32 version: one command, one table, JSON last.

    python -m benchmarks.gpu [--size 256] [--batches 1 4 16] [--peak-tflops 989]

Per batch size: milliseconds per image of both, their ratio, the floating-point operations of a step as torch counts
them in the plain version (convolutions and matrix products, forward and backward), what share of the card's bf16
peak ours reaches with them, the peak memory of each, and the seconds of its first four
steps. Without --peak-tflops the peak is what a large bf16 matrix
product reaches on the card in hand.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from unpaired.bench.cases import Case, both_sides
from unpaired.bench.timing import Timing, environment, interleaved
from unpaired.config import RuntimeConfig
from unpaired.core.errors import BadInput
from unpaired.methods import Batch
from unpaired.training.engine import Engine
from unpaired.training.graphs import WARM_UP


def matrix_peak(device: torch.device, side: int = 8192, repeats: int = 20) -> float:
    """Operations per second of a bf16 matrix product of `side`."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        a @ b
    torch.cuda.synchronize(device)
    return 2 * side**3 * repeats / (time.perf_counter() - start)


def measure(size: int, batch: int, repeats: int, peak: float) -> dict[str, object]:
    """One batch size; what does not fit in memory says so."""
    runtime = RuntimeConfig(device="cuda")
    case = Case(name="train", size=size, batch=batch, runtime=runtime)
    engine = Engine(runtime)
    plain, trainer = both_sides(case, engine)
    x, y = engine.put(case.images(0)), engine.put(case.images(1))
    a, b, images = x.contiguous(), y.contiguous(), Batch(x, y)
    with FlopCounterMode(display=False) as counter:
        plain.step(a, b)
    work = {"plain": lambda: plain.step(a, b), "unpaired": lambda: trainer.train_step(images)}
    first, memory = {}, {}
    for name, run in work.items():
        first[name] = seconds(run, WARM_UP, engine.device)
        torch.cuda.reset_peak_memory_stats(engine.device)
        first[name] += seconds(run, 1, engine.device)  # ours is recorded here; a replay allocates nothing
        memory[name] = torch.cuda.max_memory_allocated(engine.device)
    times = interleaved(work, engine.device, repeats, warmup=5)
    reference, ours = (Timing.of([taken.seconds for taken in times[name]]) for name in ("plain", "unpaired"))
    return {
        "batch": batch,
        "ms_per_image": round(ours.median / batch, 3),
        "reference_ms_per_image": round(reference.median / batch, 3),
        "ratio": round(reference.median / ours.median, 2),
        "spread_ms": [ours.low, ours.high, reference.low, reference.high],
        "gflop": round(counter.get_total_flops() / 1e9, 1),
        "share_of_bf16_peak": round(counter.get_total_flops() / (ours.median / 1e3) / peak, 3),
        "peak_mb": {name: round(each / 2**20) for name, each in memory.items()},
        "first_steps_s": {name: round(each, 2) for name, each in first.items()},
    }


def seconds(run: Callable[[], object], count: int, device: torch.device) -> float:
    """Wall time of `count` runs."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


HEADER = "batch | official ms/image | ours ms/image | ratio | of bf16 peak | MB official / ours | first steps s"


def row(result: dict[str, Any]) -> str:
    """A line of the table on stderr."""
    memory, first = result["peak_mb"], result["first_steps_s"]
    return (
        f"{result['batch']:>5} | {result['reference_ms_per_image']:>17} | {result['ms_per_image']:>13} | "
        f"{result['ratio']:>5} | {result['share_of_bf16_peak']:>12.1%} | {memory['plain']} / {memory['unpaired']} | "
        f"{first['plain']} / {first['unpaired']}"
    )


def main() -> None:
    """Measure every batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--peak-tflops", type=float)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu: needs a CUDA card, found none; `unpaired bench train` measures on the CPU")
    device = torch.device("cuda")
    peak = 1e12 * args.peak_tflops if args.peak_tflops else matrix_peak(device)
    rows = []
    print(HEADER, file=sys.stderr)
    for batch in args.batches:
        try:
            rows.append(measure(args.size, batch, args.repeats, peak))
            print(row(rows[-1]), file=sys.stderr, flush=True)
        except (torch.OutOfMemoryError, BadInput):
            print(f"batch {batch}: out of memory", file=sys.stderr)
            break
        gc.collect()  # a trainer and its recorded step refer to each other
        torch.cuda.empty_cache()
    result = {"case": "gpu", "size": args.size, "bf16_peak_tflops": round(peak / 1e12, 1), "batches": rows}
    print(json.dumps(result | environment(device)))


if __name__ == "__main__":
    main()
