"""An image bigger than memory through a small generator: seconds, peak memory, disk, the seams; killed on the way.

    python -m benchmarks.huge FOLDER --side 20000 --kill-after 300

Prints one JSON line last. FOLDER is made and kept.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch

from unpaired.checkpoints.bundle import BUNDLE, save_bundle
from unpaired.commands.arguments import bind
from unpaired.experiment import build_method, with_settings
from unpaired.presets import smoke

BLOCK = 256


def main(folder: Path, *, side: int = 20_000, tile: int = 512, kill_after: float | None = None) -> None:
    """Make an image and a model, translate it as a user would, measure the process from outside."""
    folder.mkdir(parents=True, exist_ok=True)
    image, out = folder / f"in{side}.tif", folder / f"out{side}.tif"
    if not image.exists():
        make_image(image, side)
    command = [sys.executable, "-m", "unpaired", "translate", str(make_model(folder)), str(image), str(out)]
    command += ["--tile", str(tile)]
    disk: list[int] = []
    stop = threading.Event()
    threading.Thread(target=watch_disk, args=(folder, disk, stop), daemon=True).start()
    runs = [timed(command, kill_after)] if kill_after else []
    runs.append(timed(command, None))
    stop.set()
    facts = {"case": "huge", "side": side, "tile": tile, "seconds": [run[0] for run in runs]}
    facts |= {
        "peak_mb": [run[1] for run in runs],
        "exit": [run[2] for run in runs],
        "disk_gb": max(disk, default=0) / 1e9,
    }
    print(json.dumps(facts | {"torch": torch.__version__, "output_bytes": out.stat().st_size}))


def timed(command: list[str], kill_after: float | None) -> tuple[float, float, int]:
    """Seconds, peak resident megabytes and exit code (negative: the signal) of a process of its own."""
    start = time.monotonic()
    process = subprocess.Popen(command)
    if kill_after:
        threading.Timer(kill_after, os.kill, (process.pid, signal.SIGKILL)).start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.monotonic() - start, usage.ru_maxrss / 1024, process.returncode


def watch_disk(folder: Path, found: list[int], stop: threading.Event) -> None:
    """Bytes that work folders take, every few seconds."""
    while not stop.wait(5):
        files = [path for work in folder.glob(".*.work-*") for path in work.glob("*")]
        total = 0
        for path in files:
            try:
                total += path.stat().st_blocks * 512
            except FileNotFoundError:  # dropped in between
                continue
        found.append(total)


def make_image(path: Path, side: int) -> None:
    """Waves of many lengths under noise, 8-bit RGB, as a tiled TIFF."""
    noise = np.random.default_rng(0).normal(0, 14, (BLOCK, BLOCK, 3)).astype(np.float32)
    waves = [np.sin(np.linspace(0, turns, side)).astype(np.float32) * 40 for turns in (9, 23, 57, 140, 300)]

    def blocks() -> Iterator[np.ndarray]:
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                down, right = ([wave[at : at + BLOCK] for wave in waves] for at in (top, left))
                colors = [down[k][:, None] + right[n][None] for k, n in ((0, 3), (4, 1), (2, 1))]
                part = np.stack(colors, axis=-1) + 128
                block = np.zeros((BLOCK, BLOCK, 3), np.uint8)
                height, width = part.shape[:2]
                block[:height, :width] = (part + noise[:height, :width]).clip(0, 255)
                yield block

    shape, options = (side, side, 3), {"photometric": "rgb", "compression": "zlib"}
    tifffile.imwrite(path, blocks(), shape=shape, dtype=np.uint8, tile=(BLOCK, BLOCK), **options)


def make_model(folder: Path) -> Path:
    """A bundle of generators of width 8 with two blocks, never trained, whose every weight matters."""
    experiment = with_settings(smoke(), {"method.generator.width": 8, "method.generator.blocks": 2})
    torch.manual_seed(0)
    method = build_method(experiment)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter *= 5
    save_bundle(folder / BUNDLE, experiment, method, step=0)
    return folder / BUNDLE


if __name__ == "__main__":
    bind("benchmark huge", main, sys.argv[1:])()
