"""How time and memory of a training step grow, ours beside the plain version.

    python -m benchmarks.growth measure --out growth.json      # size, batch and blocks, minutes each
    python -m benchmarks.growth names --out growth.json        # a million file names
    python -m benchmarks.growth draw growth.json docs/images   # growth-time.svg, growth-memory.svg
    python -m benchmarks.growth table growth.json

Every point is a process of its own: memory is the highest resident size (Linux's VmHWM) over what importing torch
and the package takes, after three steps; time is the median processor time of a step with one thread, which other
programs on the machine hardly change.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BASE = {"size": 64, "width": 32, "batch": 1, "blocks": 6}
AXES = {"size": [32, 64, 128, 256], "batch": [1, 2, 4, 8], "blocks": [0, 3, 6, 9, 12]}
SIDES = ["plain", "exact", "fp32", "bf16", "bf16 checkpointed"]
STEPS = 3


def one(side: str, size: int, width: int, batch: int, blocks: int) -> dict[str, float]:
    """Seconds of processor time of a step and megabytes over the start, in this process."""
    import torch

    from unpaired.bench.cases import Case
    from unpaired.bench.plain_cyclegan import PlainCycleGAN
    from unpaired.config import OptimConfig, RuntimeConfig
    from unpaired.methods import CycleGAN, CycleGANConfig
    from unpaired.models import ResNetConfig
    from unpaired.training.engine import Engine
    from unpaired.training.trainer import Trainer

    torch.set_num_threads(1)
    start = peak_mb()
    precision, _, checkpointed = side.partition(" ")
    runtime = RuntimeConfig(
        device="cpu",
        precision="exact" if side == "plain" else precision,
        threads=1,
        checkpoint_blocks=bool(checkpointed),
    )
    case = Case(name="train", size=size, width=width, batch=batch, blocks=blocks, runtime=runtime)
    engine = Engine(runtime)
    x, y = engine.put(case.images(0)), engine.put(case.images(1))
    if side == "plain":
        step = PlainCycleGAN(width, blocks, seed=0).step
    else:
        networks = CycleGANConfig(generator=ResNetConfig(width=width, blocks=blocks), identity_weight=5.0)
        step = Trainer(CycleGAN(networks, (3, 3)), OptimConfig(), engine).train_step
    seconds = []
    for _ in range(STEPS):
        before = time.process_time()
        step(x, y)
        seconds.append(time.process_time() - before)
    return {"seconds": median(seconds[1:]), "megabytes": peak_mb() - start}


def peak_mb() -> float:
    """The highest resident size of this process so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def names(count: int) -> dict[str, float]:
    """Listing a data set of `count` empty files: seconds, processor seconds, and resident megabytes with torch."""
    from unpaired.config import DataConfig
    from unpaired.data.pairing import UnpairedImages

    with tempfile.TemporaryDirectory() as root:
        for side in "AB":
            folder = Path(root) / f"train{side}"
            folder.mkdir()
            for k in range(count // 2):
                os.close(os.open(folder / f"{k:07d}.jpg", os.O_CREAT))
        before, cpu = time.perf_counter(), time.process_time()
        data = UnpairedImages(DataConfig(root=root), 0)
        data.a[0], data.b[-1]
        return {
            "names": len(data.a) + len(data.b),
            "seconds": time.perf_counter() - before,
            "cpu_seconds": time.process_time() - cpu,
            "megabytes": peak_mb(),
        }


def measure(out: Path, axes: list[str], sides: list[str]) -> None:
    """Every point that `out` does not have yet."""
    found = json.loads(out.read_text()) if out.exists() else []
    for axis in axes:
        for value in AXES[axis]:
            for side in sides:
                point = {"side": side, **(BASE | {axis: value})}
                if any(all(old.get(key) == point[key] for key in point) for old in found):
                    continue
                line = [sys.executable, "-m", "benchmarks.growth", "one", "--point", json.dumps(point)]
                done = subprocess.run(line, capture_output=True, text=True)
                if done.returncode:
                    print(f"{point}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                found.append(point | json.loads(done.stdout.splitlines()[-1]))
                print(found[-1], file=sys.stderr, flush=True)
                out.write_text(json.dumps(found, indent=1) + "\n")


def points(found: list[dict], side: str, axis: str, key: str) -> list[tuple[int, float]]:
    """(value of the axis, measured) of one side, all else as in BASE."""
    others = {name: value for name, value in BASE.items() if name != axis}
    alike = (p for p in found if p["side"] == side and all(p[name] == value for name, value in others.items()))
    return sorted((p[axis], p[key]) for p in alike)


def table(found: list[dict]) -> str:
    """Every point as Markdown: one row per value of an axis, one column per side."""
    present = [side for side in SIDES if any(point["side"] == side for point in found)]
    lines = ["| | " + " | ".join(present) + " |", "|---" * (len(present) + 1) + "|"]
    for axis in AXES:
        for value in AXES[axis]:
            cells = []
            for side in present:
                seconds = dict(points(found, side, axis, "seconds")).get(value)
                megabytes = dict(points(found, side, axis, "megabytes")).get(value)
                cells.append("" if seconds is None or megabytes is None else f"{seconds:.2f} s, {megabytes:.0f} MB")
            if any(cells):
                lines.append(f"| {axis} {value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


COLORS = {"plain": "#888", "exact": "#bbb", "fp32": "#1f6fb2", "bf16": "#d1495b", "bf16 checkpointed": "#2e8b57"}
LEFT, WIDE, HIGH = 60, 250, 180
"""Pixels: the first panel's edge, a panel's width and height."""


def draw(found: list[dict], key: str, unit: str) -> str:
    """One panel per axis, both scales logarithmic, as SVG."""
    panels = [_panel(found, axis, key, LEFT + k * (WIDE + 70)) for k, axis in enumerate(AXES)]
    present = [side for side in SIDES if any(point["side"] == side for point in found)]
    legend = [
        f'<text x="{LEFT + k * 150}" y="{HIGH + 92}" fill="{COLORS[side]}">— {side}</text>'
        for k, side in enumerate(present)
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{3 * (WIDE + 70) + 20}" height="{HIGH + 110}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="18">{unit}</text>'
    )
    return "\n".join([head, *panels, *legend, "</svg>"]) + "\n"


def _panel(found: list[dict], axis: str, key: str, left: int) -> str:
    from math import log

    lines = {side: points(found, side, axis, key) for side in SIDES}
    values = [y for line in lines.values() for _, y in line]
    if not values:
        return ""
    low, high = min(values), max(values)
    places = {value: left + k * WIDE / (len(AXES[axis]) - 1) for k, value in enumerate(AXES[axis])}

    def at(y: float) -> float:
        return 40 + HIGH * (1 - log(y / low) / max(log(high / low), 1e-9))

    marks = [f'<text x="{x - 8:.0f}" y="{HIGH + 62}">{value}</text>' for value, x in places.items()]
    marks.append(f'<text x="{left + WIDE / 2 - 20:.0f}" y="{HIGH + 76}" font-weight="bold">{axis}</text>')
    for y in (low, (low * high) ** 0.5, high):
        marks.append(f'<text x="{left - 8}" y="{at(y) + 4:.0f}" text-anchor="end">{y:.3g}</text>')
        marks.append(f'<path d="M{left} {at(y):.1f}h{WIDE}" stroke="#ddd"/>')
    for side, line in lines.items():
        path = " ".join(f"{places[value]:.1f},{at(y):.1f}" for value, y in line)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{COLORS[side]}" stroke-width="2"/>')
    return "\n".join(marks)


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "one", "names", "draw", "table"])
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("growth.json"))
    parser.add_argument("--point", type=json.loads)
    parser.add_argument("--axes", nargs="+", default=list(AXES))
    parser.add_argument("--sides", nargs="+", default=SIDES)
    parser.add_argument("--count", type=int, default=1_000_000)
    args = parser.parse_args()
    if args.what == "one":
        print(json.dumps(one(**args.point)))
    elif args.what == "names":
        print(json.dumps(names(args.count)))
    elif args.what == "measure":
        measure(args.out, args.axes, args.sides)
    elif args.what == "table":
        print(table(json.loads(args.paths[0].read_text())))
    else:
        source, folder = args.paths
        found = json.loads(source.read_text())
        (folder / "growth-time.svg").write_text(draw(found, "seconds", "Seconds of one thread for a step"))
        (folder / "growth-memory.svg").write_text(draw(found, "megabytes", "Peak megabytes of a step"))


if __name__ == "__main__":
    main()
