"""What feeding a step costs: JPEGs of 1024 x 768 through resize_and_crop, and logging, in processor time.

    python -m benchmarks.loading [--images 60]

What is not in memory yet is decoded and resized, else only cropped, scaled and mirrored. Beside it the line of metrics
that a run writes every 50 steps. Set against a step of `unpaired bench train`, the sum is what a single-core machine
would lose; with a core to spare the reading threads hide it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unpaired.config import DataConfig, RuntimeConfig
from unpaired.data.pairing import UnpairedImages
from unpaired.training.engine import Engine
from unpaired.training.logging import RunLog
from unpaired.training.prefetch import to_device


def make_jpegs(root: Path, count: int, part: str = "train") -> None:
    """Half of them in domain A, half in B: smooth colour and noise, as heavy to decode as a photograph."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, (768 + 64, 1024 + 64, 3)).astype(np.int16)
    for k in range(count):
        folder = root / f"{part}{'A' if k % 2 else 'B'}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize((1024, 768))
        top, left = rng.integers(64, size=2)
        noisy = np.asarray(coarse) + noise[top : top + 768, left : left + 1024]
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{k:05d}.jpg", quality=90)


def log_milliseconds(run: Path) -> float:
    """Processor time that the log in the folder `run` takes per step, with a line every 50."""
    log = RunLog(run, 0, 1)
    losses = {name: torch.tensor(1.0) for name in "abcdefgh"}
    add = milliseconds(lambda: log.add(losses), 500)
    write = milliseconds(lambda: (log.add(losses), log.write(1, 1e-4)), 20)
    log.close()
    return add + write / 50


def milliseconds(work: Callable[[], object], times: int) -> float:
    """Processor time of one piece of work."""
    start = time.process_time()
    for _ in range(times):
        work()
    return 1e3 * (time.process_time() - start) / times


def main() -> None:
    """Measure with one thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    count = parser.parse_args().images
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_jpegs(root, count)
        data, engine = UnpairedImages(DataConfig(root=folder), 0), Engine(RuntimeConfig(device="cpu"))
        steps = iter(range(10**9))
        first = milliseconds(lambda: to_device(data.batch(next(steps)), engine), count // 2)
        for path in (*data.a, *data.b):
            data.store.read(path, data.domains["A"])
        later = milliseconds(lambda: to_device(data.batch(next(steps)), engine), 200)
        logged = log_milliseconds(root)
    result = {"decoding_ms": first, "kept_ms": later, "log_ms_per_step": logged}
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
