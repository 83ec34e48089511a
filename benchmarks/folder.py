"""A folder of small images through `translate`, beside the bare network on images in memory.

    python -m benchmarks.folder MODEL --images 1000 --size 64

Runs of both take turns; one JSON line last, with the share of the bare rate that the folder reaches by the clock, and
the share of the processor's time that the network has, which other work on the machine does not touch.
"""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unpaired import Translator
from unpaired.commands.arguments import bind
from unpaired.inference import Options, translate_files

PART = 100
"""Images of a turn."""


def main(model: Path, *, images: int = 1000, size: int = 64, batch: int = 1, suffix: str = ".png") -> None:
    """Measure in turns of PART images each, so that what else the machine does falls on both."""
    translator = Translator.load(model)
    rng = np.random.default_rng(0)
    ratios, rates = [], []
    with tempfile.TemporaryDirectory() as root:
        for turn in range(max(images // PART, 1)):
            folder, out = Path(root) / f"in{turn}", Path(root) / f"out{turn}"
            folder.mkdir()
            soft = [rng.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(PART)]
            decoded_images = [
                np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in soft
            ]
            for number, pixels in enumerate(decoded_images):
                Image.fromarray(pixels).save(folder / f"{number:04}{suffix}")
            arrays = np.stack([pixels.transpose(2, 0, 1) for pixels in decoded_images]).astype(np.float32) / 127.5 - 1
            bare = timed(
                lambda arrays=arrays: [translator.runtime(arrays[k : k + batch]) for k in range(0, PART, batch)]
            )
            with contextlib.redirect_stderr(io.StringIO()):
                files = timed(lambda a=folder, b=out: translate_files(translator, str(a), b, Options(batch=batch)))
            ratios.append([one / other for one, other in zip(bare, files, strict=True)])
            rates.append(PART / files[0])
    facts = {"case": "folder", "images": images, "size": size, "batch": batch, "suffix": suffix}
    clock, processor = (sorted(ratio[k] for ratio in ratios) for k in (0, 1))
    facts |= {"share_of_bare_rate": round(statistics.median(clock), 3), "spread": [clock[0], clock[-1]]}
    facts |= {"share_of_processor_time": round(statistics.median(processor), 3)}
    facts |= {"images_per_s": round(statistics.median(rates), 1), "runtime": translator.runtime.label}
    print(json.dumps(facts | {"torch": torch.__version__, "threads": torch.get_num_threads()}))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor's time."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


if __name__ == "__main__":
    bind("benchmark folder", main, sys.argv[1:])()
