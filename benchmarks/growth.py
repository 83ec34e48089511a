"""How time and memory grow with what is trained on: ours beside the plain version.

    python -m benchmarks.growth measure --out growth.json      # every axis; goes on where it was stopped
    python -m benchmarks.growth draw growth.json docs/images   # growth-time.svg, growth-memory.svg
    python -m benchmarks.growth table growth.json
    python -m benchmarks.growth names                          # a million file names alone

Every point is a process of its own, and kept as soon as it is measured.

Of a training step: the median processor time with one thread, which other programs on the machine hardly change, after
a first step that does not count (from 512 px on of one step alone), and the highest resident size (Linux's VmHWM) over
what importing torch and the package takes. With several processes, joined by gloo, both are those of the first one:
what it does, not how long it waits. Of a data set's names (empty files): processor time of starting, from the imports
to the fingerprint that a run keeps, and the highest resident size as it is, torch included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from math import log
from pathlib import Path
from statistics import median

from unpaired.core.files import write_text

BASE = {"size": 64, "width": 16, "batch": 1, "blocks": 6, "processes": 1, "names": 0}
SIDES = ["plain", "fp32", "bf16", "bf16 checkpointed"]
LISTING = "listing"
"""The side that stands for a data set's names: no step is taken."""
AXES = {
    "size": ([64, 128, 256, 512, 1024], SIDES),
    "batch": ([1, 2, 4, 8], SIDES),
    "blocks": ([0, 3, 6, 9, 12], SIDES),
    "processes": ([1, 2, 4], SIDES[1:]),
    "names": ([1_000, 10_000, 100_000, 1_000_000], [LISTING]),
}
"""Values and sides measured along each axis, all else as in BASE."""
STEPS = 3
ONE_STEP_FROM = 512
"""Side in pixels from which a step takes so long that it is taken once."""


def one(side: str, names: int, **point: int) -> dict[str, float]:
    """Processor seconds and megabytes of one point, in this process."""
    return listed(names) if side == LISTING else step(side, **point)


def step(side: str, size: int, width: int, batch: int, blocks: int, processes: int) -> dict[str, float]:
    """Processor seconds of a training step, and megabytes over the start."""
    import torch

    from unpaired.bench.cases import Case
    from unpaired.bench.plain_cyclegan import PlainCycleGAN
    from unpaired.config import OptimConfig, RuntimeConfig
    from unpaired.methods import CycleGAN, CycleGANConfig
    from unpaired.methods.batch import Batch
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
    assert engine.processes.count == processes
    x, y = engine.put(case.images(0)), engine.put(case.images(1))
    if side == "plain":
        plain = PlainCycleGAN(width, blocks, seed=0)
        take = partial(plain.step, x, y)
    else:
        networks = CycleGANConfig(generator=ResNetConfig(width=width, blocks=blocks), identity_weight=5.0)
        take = partial(Trainer(CycleGAN(networks, (3, 3)), OptimConfig(), engine).train_step, Batch(x, y))
    seconds = []
    for _ in range(STEPS if size < ONE_STEP_FROM else 1):
        before = time.process_time()
        take()
        seconds.append(time.process_time() - before)
    if not engine.processes.first:
        sys.exit()
    return {"seconds": median(seconds[1:] or seconds), "megabytes": peak_mb() - start}


def peak_mb() -> float:
    """The highest resident size of this process so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def listed(count: int) -> dict[str, float]:
    """Starting on a data set of `count` empty files: processor seconds from the imports on, and resident megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for side in "AB":
            (root / f"train{side}").mkdir()
            for k in range(count // 2):
                os.close(os.open(root / f"train{side}" / f"{k:07d}.jpg", os.O_CREAT))
        before, clock = time.process_time(), time.perf_counter()
        from unpaired.config import DataConfig
        from unpaired.data.pairing import UnpairedImages
        from unpaired.data.selection import ImageSelection, save_selection

        data = UnpairedImages(DataConfig(root=folder), 0)
        save_selection(ImageSelection(), root, folder, data.a, data.b)
        assert data.a[0].name == "0000000.jpg" and data.b[-1].name == f"{count // 2 - 1:07d}.jpg"
        seconds, waited = time.process_time() - before, time.perf_counter() - clock
        return {"listed": len(data.a) + len(data.b), "seconds": seconds, "by_the_clock": waited, "megabytes": peak_mb()}


def measure(out: Path, axes: list[str], sides: list[str]) -> None:
    """Every point that `out` does not have yet."""
    found = json.loads(out.read_text()) if out.exists() else []
    for axis in axes:
        values, present = AXES[axis]
        for value in values:
            for side in (side for side in present if side in sides):
                point = {"side": side, **(BASE | {axis: value})}
                if any(all(old.get(key) == point[key] for key in point) for old in found):
                    continue
                done = subprocess.run(command(point), capture_output=True, text=True)
                if done.returncode:
                    print(f"{point}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                found.append(point | json.loads(done.stdout.splitlines()[-1]))
                print(found[-1], file=sys.stderr, flush=True)
                write_text(out, json.dumps(found, indent=1) + "\n")


def command(point: dict[str, int]) -> list[str]:
    """What measures a point: a process of its own, or as many as it says."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(point["processes"])]
    several = launcher if point["processes"] > 1 else []
    return [sys.executable, *several, "-m", "benchmarks.growth", "one", "--point", json.dumps(point)]


def points(found: list[dict], side: str, axis: str, key: str) -> list[tuple[int, float]]:
    """(value of the axis, measured) of one side, all else as in BASE."""
    others = {name: value for name, value in BASE.items() if name != axis}
    alike = (p for p in found if p["side"] == side and all(p[name] == value for name, value in others.items()))
    return sorted((p[axis], p[key]) for p in alike)


def table(found: list[dict]) -> str:
    """Every point as Markdown: one row per value of an axis, one column per side; a list of names in the first."""
    lines = ["| | " + " | ".join(SIDES) + " |", "|---" * (len(SIDES) + 1) + "|"]
    for axis, (values, present) in AXES.items():
        for value in values:
            cells = []
            for side in [LISTING] if present == [LISTING] else SIDES:
                seconds = dict(points(found, side, axis, "seconds")).get(value)
                megabytes = dict(points(found, side, axis, "megabytes")).get(value)
                cells.append("" if seconds is None or megabytes is None else f"{seconds:.3g} s, {megabytes:.0f} MB")
            if any(cells):
                lines.append(f"| {axis} {value:,} | " + " | ".join(cells) + " |" * (len(SIDES) + 1 - len(cells)))
    return "\n".join(lines)


COLORS = {"plain": "#888", "fp32": "#1f6fb2", "bf16": "#d1495b", "bf16 checkpointed": "#2e8b57", LISTING: "#222"}
TIME = "Processor seconds of a step; of a start for names"
MEMORY = "Megabytes at most, over the imports; for names with them"
LEFT, WIDE, HIGH, COLUMNS = 60, 250, 180, 3
"""Pixels: the first panel's edge, a panel's width and height; and panels beside each other."""
RIGHT, BELOW = WIDE + 70, HIGH + 70
"""Pixels from one panel to the next."""
LEAST = 4.0
"""Ratio of the ends of a scale at least, so that noise does not look like growth."""


def draw(found: list[dict], key: str, title: str) -> str:
    """One panel per axis, the measured value's scale logarithmic, as SVG."""
    panels = [
        f'<g transform="translate({LEFT + k % COLUMNS * RIGHT} {40 + k // COLUMNS * BELOW})">'
        f"{_panel(found, axis, key)}</g>"
        for k, axis in enumerate(AXES)
    ]
    bottom = 40 + -(-len(AXES) // COLUMNS) * BELOW
    legend = [
        f'<text x="{LEFT + k * 150}" y="{bottom}" fill="{COLORS[side]}">— {side}</text>'
        for k, side in enumerate([*SIDES, LISTING])
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * RIGHT + 20}" height="{bottom + 16}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="18">{title}</text>'
    )
    return "\n".join([head, *panels, *legend, "</svg>"]) + "\n"


def _panel(found: list[dict], axis: str, key: str) -> str:
    """Curves over one axis, its values at equal distances, in a box of WIDE x HIGH whose corner is the origin."""
    values, present = AXES[axis]
    lines = {side: points(found, side, axis, key) for side in present}
    measured = [y for line in lines.values() for _, y in line]
    if not measured:
        return ""
    middle = (min(measured) * max(measured)) ** 0.5
    half = max(max(measured) / min(measured), LEAST) ** 0.5
    places = {value: k * WIDE / (len(values) - 1) for k, value in enumerate(values)}

    def at(y: float) -> float:
        return HIGH * (1 - log(y * half / middle) / log(half**2))

    marks = [f'<text x="{x:.0f}" y="{HIGH + 18}" text-anchor="middle">{_short(v)}</text>' for v, x in places.items()]
    marks.append(f'<text x="{WIDE // 2}" y="{HIGH + 34}" text-anchor="middle" font-weight="bold">{axis}</text>')
    for y in (middle / half, middle, middle * half):
        marks.append(f'<text x="-8" y="{at(y) + 4:.0f}" text-anchor="end">{_rounded(y)}</text>')
        marks.append(f'<path d="M0 {at(y):.1f}h{WIDE}" stroke="#ddd"/>')
    for side, line in lines.items():
        path = " ".join(f"{places[value]:.1f},{at(y):.1f}" for value, y in line)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{COLORS[side]}" stroke-width="2"/>')
    return "\n".join(marks)


def _short(value: int) -> str:
    """1000 as 1k, 1000000 as 1M."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if value >= size and value % size == 0:
            return f"{value // size}{letter}"
    return str(value)


def _rounded(value: float) -> str:
    """Two digits, or whole where there are more."""
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "one", "names", "draw", "table"])
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("growth.json"))
    parser.add_argument("--point", type=json.loads)
    parser.add_argument("--axes", nargs="+", default=list(AXES))
    parser.add_argument("--sides", nargs="+", default=[*SIDES, LISTING])
    parser.add_argument("--count", type=int, default=1_000_000)
    args = parser.parse_args()
    if args.what == "one":
        print(json.dumps(one(**args.point)))
    elif args.what == "names":
        print(json.dumps(listed(args.count)))
    elif args.what == "measure":
        measure(args.out, args.axes, args.sides)
    elif args.what == "table":
        print(table(json.loads(args.paths[0].read_text())))
    else:
        source, folder = args.paths
        found = json.loads(source.read_text())
        (folder / "growth-time.svg").write_text(draw(found, "seconds", TIME))
        (folder / "growth-memory.svg").write_text(draw(found, "megabytes", MEMORY))


if __name__ == "__main__":
    main()
