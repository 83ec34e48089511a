"""What feeding a step costs: JPEGs of 1024 x 768 through resize_and_crop, and logging, in processor time.

    python -m benchmarks.loading [--images 60]

The first epoch decodes and resizes, later ones crop what is kept in memory. Beside it the line of metrics that a run
writes every 50 steps. Set against a step of `unpaired bench train`, the sum is what a single-core machine would lose;
with a core to spare the reading threads hide it.
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

from unpaired.config import DataConfig
from unpaired.data.pairing import UnpairedImages
from unpaired.training.logging import RunLog


def make_jpegs(root: Path, count: int) -> None:
    """Half of them in trainA, half in trainB: smooth colour and noise, as heavy to decode as a photograph."""
    rng = np.random.default_rng(0)
    for k in range(count):
        folder = root / ("trainA" if k % 2 else "trainB")
        folder.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize((1024, 768))
        noisy = np.asarray(coarse) + rng.normal(0, 8, (768, 1024, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{k:05d}.jpg", quality=90)


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
        data = UnpairedImages(DataConfig(root=folder), 0)
        steps = iter(range(10**9))
        first = milliseconds(lambda: data.batch(next(steps)), count // 2)
        for path in data.files():
            data.store.read(path, 3)
        later = milliseconds(lambda: data.batch(next(steps)), 200)
        log = RunLog(root, 0, 1)
        terms = {name: torch.tensor(1.0) for name in "abcdefgh"}
        add = milliseconds(lambda: log.add(terms), 500)
        write = milliseconds(lambda: (log.add(terms), log.write(1, 0, 1e-4)), 20)
        log.close()
    result = {"first_epoch_ms": first, "later_ms": later, "log_ms_per_step": add + write / 50}
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
