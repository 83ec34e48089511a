"""The whole of `unpaired train` beside its bare step: does reading images or logging ever hold it up?

    python -m benchmarks.end_to_end --preset cyclegan                       # 2,000 JPEGs of 1024 x 768, to 256 px
    python -m benchmarks.end_to_end --steps 2000 --data.load-size 72 --data.crop-size 64 --method.generator.width 8

A run of the preset through `unpaired.training.train`, with any setting of `train`, on any device. Every few steps it
pauses while the bare step is timed, on networks of the same settings and a batch that is there already, so that both
meet the same machine. Ctrl-C ends it with what was measured. The last line is JSON:

- first_epoch, later: the bare step's time over the run's, by the clock (what a user sees) and in processor time of all
  threads (what a machine without a core to spare would see);
- loader: milliseconds in which the reading threads alone deliver a step's batch on the device, where every image is
  decoded and where all are kept, and the bare steps that would fit;
- extras: what logging, the EMA and, with `--runtime.validate-every`, validation take of a bare step: by the clock on a
  card, in processor time on a CPU;
- start: the time up to the first step, in which a new run reads every image once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.loading import log_milliseconds, make_jpegs
from unpaired.bench.timing import Taken, environment
from unpaired.cli import split_settings
from unpaired.core.errors import Stopped
from unpaired.data.folders import PixelStore
from unpaired.data.pairing import UnpairedImages
from unpaired.data.resident import ResidentImages
from unpaired.experiment import Experiment, build_method, with_root, with_settings
from unpaired.presets import preset
from unpaired.training import train
from unpaired.training.engine import Engine
from unpaired.training.graphs import record_cuda_graph
from unpaired.training.loop import Run
from unpaired.training.prefetch import Prefetched, prefetch, to_device
from unpaired.training.trainer import Trainer
from unpaired.training.validation import Validator

BARE = 5
"""Bare steps timed in a pause, after half as many that are not, in which the reading threads come to rest."""


def bare_steps(experiment: Experiment) -> Callable[[], Taken]:
    """What times BARE bare steps: the average of one."""
    engine = Engine(experiment.runtime)
    trainer = Trainer(build_method(experiment), experiment.optim, engine)
    fed = to_device(UnpairedImages(experiment.data, experiment.runtime.seed).batch(0), engine)

    def steps(count: int) -> Taken:
        start, used = now(engine)
        for _ in range(count):
            trainer.train_step(fed.batch)
        end, spent = now(engine)
        return Taken((end - start) / count, (spent - used) / count)

    steps(2)
    return lambda: (steps(BARE // 2), steps(BARE))[1]


def loader(experiment: Experiment, steps: int) -> dict[str, float]:
    """Milliseconds for a batch to be on the device: its images decoded, and read once before."""
    engine, cfg = Engine(experiment.runtime), experiment.data
    data = UnpairedImages(cfg, experiment.runtime.seed)
    data.store.resident = ResidentImages(engine.device) if engine.device.type == "cuda" else None
    taken = {}
    for name in ("decoded_ms", "kept_ms"):
        start, _ = now(engine)
        for _ in prefetch(data.batches(0, steps), engine):
            pass
        taken[name] = 1e3 * (now(engine)[0] - start) / steps
    return taken


def extras(experiment: Experiment, run: Path) -> dict[str, float]:
    """Milliseconds a step of the log, of the EMA (on CUDA a graph of its own) and of validation, where it is set.

    Test images are in memory, as they are after the first validation of a run.
    """
    engine, runtime = Engine(experiment.runtime), experiment.runtime
    trainer = Trainer(build_method(experiment), replace(experiment.optim, ema_decay=0.999), engine)

    def work() -> Tensor:
        trainer._average()
        return trainer._ema_weight

    average = record_cuda_graph(work) if engine.device.type == "cuda" else work
    taken = {"log_ms": log_milliseconds(run), "ema_ms": milliseconds(engine, average, 12)}
    if runtime.validate_every:
        validator = Validator(experiment, store=PixelStore(experiment.data))
        validator.load_extractor(engine.device)
        validator.prepare(trainer.method)
        validations = milliseconds(engine, lambda: validator.validate(1, trainer.ema, engine, lambda: False), 1)
        taken["validation_ms"] = validations / runtime.validate_every
    return taken


def milliseconds(engine: Engine, work: Callable[[], object], times: int) -> float:
    """The median of several times, as `cost` counts them."""
    found = []
    for _ in range(times):
        start, used = now(engine)
        work()
        end, spent = now(engine)
        found.append(cost(Taken(end - start, spent - used), engine))
    return 1e3 * median(found)


def cost(taken: Taken, engine: Engine) -> float:
    """Seconds by the clock on a card; on a CPU those of the processor, which other programs do not change."""
    return taken.cpu_seconds if engine.device.type == "cpu" else taken.seconds


def now(engine: Engine) -> tuple[float, float]:
    """Seconds of the clock and of the processor, the device's work done."""
    engine.check_pending()
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    return time.perf_counter(), time.process_time()


@dataclass
class Block:
    """Average steps up to a step of the run: one of the run and a bare one."""

    step: int
    run: Taken
    bare: Taken


class Watch:
    """Stops the time of a run, block by block of its steps, and lets bare steps take turns with them."""

    def __init__(self, size: int, bare: Callable[[], Taken]) -> None:
        self.size, self.bare = size, bare
        self.blocks: list[Block] = []
        self.began = self.first = (0.0, 0.0)

    def after(self, step: int, engine: Engine) -> None:
        """To be called after each step but the last, which ends with samples; the first block is not counted."""
        if step == 1:
            self.first = now(engine)
        if step % self.size == 0:
            if step > self.size:
                wall, used = (b - a for a, b in zip(self.began, now(engine), strict=True))
                self.blocks.append(Block(step, Taken(wall / self.size, used / self.size), self.bare()))
            self.began = now(engine)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Inside, a run's steps are watched."""
    plain = Run.step

    def timed(self: Run, step: int, prefetched: Prefetched) -> None:
        plain(self, step, prefetched)
        if step < self.schedule.steps:
            watch.after(step, self.trainer.engine)

    Run.step = timed
    try:
        yield
    finally:
        Run.step = plain


def shares(blocks: list[Block]) -> dict[str, float]:
    """The bare step's time over the run's, by the clock and in processor time, and what they are."""
    run, bare = (median(block.run.cpu_seconds for block in blocks), median(block.bare.cpu_seconds for block in blocks))
    clock = sum(block.bare.seconds for block in blocks) / sum(block.run.seconds for block in blocks)
    processor = sum(block.bare.cpu_seconds for block in blocks) / sum(block.run.cpu_seconds for block in blocks)
    found = {"share_of_bare_rate": round(clock, 3), "share_of_processor_time": round(processor, 3)}
    return found | {"run_cpu_ms": round(1e3 * run, 2), "bare_cpu_ms": round(1e3 * bare, 2), "blocks": len(blocks)}


def main() -> None:
    """Make the images unless they are there, run, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="cyclegan")
    parser.add_argument("--data", type=Path, help="kept, and used again where it is there")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--loader-steps", type=int, default=200, help="steps of the loader alone, at most an epoch")
    args, rest = parser.parse_known_args()
    settings = split_settings(rest)[0] | {"optim.steps": str(args.steps)}
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or Path(folder) / "data"
        if not data.exists():
            make_jpegs(data, args.images)
            make_jpegs(data, args.images // 5, "test")
        experiment = with_settings(with_root(preset(args.preset), data), settings)
        unvalidated = with_settings(experiment, {"runtime.validate_every": 0})
        engine = Engine(experiment.runtime)
        watch = Watch(args.block, bare_steps(experiment))
        started, used = time.perf_counter(), time.process_time()
        with watched(watch), suppress(Stopped):
            train(unvalidated, Path(folder) / "run")
        epoch = UnpairedImages(experiment.data, 0).steps_per_epoch
        taken = extras(experiment, Path(folder))
        alone = loader(experiment, min(epoch, args.loader_steps))
    result = {"case": "end_to_end", "preset": args.preset, "settings": settings, "steps_per_epoch": epoch}
    result |= {"start_s": round(watch.first[0] - started, 1), "start_cpu_s": round(watch.first[1] - used, 1)}
    first = [block for block in watch.blocks if block.step <= epoch]
    for name, blocks in (("first_epoch", first), ("later", watch.blocks[len(first) :])):
        result |= {name: shares(blocks)} if blocks else {}
    bare_ms = 1e3 * median(block.bare.seconds for block in watch.blocks)
    steps_ms = {name: round(bare_ms / each, 2) for name, each in alone.items()}
    result |= {"bare_ms": round(bare_ms, 3), "loader": rounded(alone) | {"batches_a_bare_step": steps_ms}}
    step_ms = 1e3 * median(cost(block.bare, engine) for block in watch.blocks)
    result["extras"] = rounded(taken | {"step_ms": step_ms}) | {"share": round(sum(taken.values()) / step_ms, 4)}
    print(json.dumps(result | environment(engine.device)))


def rounded(times: dict[str, float]) -> dict[str, Any]:
    """To a microsecond."""
    return {name: round(each, 3) for name, each in times.items()}


if __name__ == "__main__":
    main()
