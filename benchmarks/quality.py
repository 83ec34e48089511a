"""Is the trained result as good as the plain reference's? Both trained alike on Earth, over several seeds.

    python -m benchmarks.quality reference --data earth64 --out runs/quality --seed 0
    python -m benchmarks.quality ours --data earth64 --out runs/quality --seed 0
    python -m benchmarks.quality table --out runs/quality

Width 32, 6 blocks, transposed convolutions, the published 64-wide 70x70 discriminator, batch 1, identity 0.5 lambda,
4,000
steps with the rate falling over the second half. `reference` trains `unpaired/bench/plain_cyclegan.py` in fp32, one
pass at a time; `ours` trains the package with its default precision, or another by --precision. The score of each
is what `unpaired evaluate` says of its bundle.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean, stdev

import torch

from unpaired.bench.plain_cyclegan import PlainCycleGAN
from unpaired.checkpoints.bundle import save_bundle
from unpaired.config import DataConfig, RuntimeConfig
from unpaired.core.progress import progress
from unpaired.data.pairing import UnpairedImages
from unpaired.evaluation import evaluate
from unpaired.experiment import Experiment, build_method, with_settings
from unpaired.methods import CycleGAN, CycleGANConfig
from unpaired.models import ResNetConfig
from unpaired.training import train
from unpaired.training.schedule import Schedule


def setting(data: Path) -> Experiment:
    """What both sides train: published networks and objective at width 32 and 64 px."""
    return Experiment(
        name="quality",
        data=DataConfig(root=str(data), preprocess="none", load_size=64, crop_size=64),
        method=CycleGANConfig(generator=ResNetConfig(width=32, blocks=6), identity_weight=5.0),
        runtime=RuntimeConfig(save_every=1000, sample_every=1000),
    )


METRICS = ("mean_abs_error", "water_iou", "ssim", "swd")


def experiment(data: Path, seed: int, steps: int, precision: str) -> Experiment:
    """The setting both sides train, as one of ours."""
    settings = {"runtime.seed": seed, "optim.steps": steps, "runtime.precision": precision}
    return with_settings(setting(data), settings)


def train_reference(wanted: Experiment, out: Path) -> Path:
    """Train the plain reference on the same draws of images; its generators as a bundle."""
    data = UnpairedImages(wanted.data, wanted.runtime.seed)
    schedule = Schedule(wanted.optim, data.steps_per_epoch)
    plain = PlainCycleGAN(32, 6, wanted.runtime.seed)
    with progress(out.name, schedule.steps) as advance:
        for step, batch in enumerate(data.batches(0, schedule.steps)):
            plain.set_lr(wanted.optim.lr * schedule.factor(step))
            plain.step(batch.x, batch.y)
            advance()
    save_plain(plain, wanted, out, schedule.steps)
    return out


def save_plain(plain: PlainCycleGAN, wanted: Experiment, out: Path, step: int) -> None:
    """The reference's generators in a bundle, so that one program judges both."""
    method = build_method(wanted)
    assert isinstance(method, CycleGAN)
    method.G.model.load_state_dict(plain.G.state_dict())
    method.F.model.load_state_dict(plain.F.state_dict())
    out.mkdir(parents=True, exist_ok=True)
    save_bundle(out / "bundle.safetensors", wanted, method, step)


def table(out: Path) -> str:
    """Every scored run, and mean and spread over the seeds, as Markdown."""
    rows: dict[str, dict[str, list[float]]] = {}
    for path in sorted(out.glob("*/evaluation.json")):
        scores, kind = json.loads(path.read_text()), path.parent.name.rpartition("-")[0]
        for direction in ("AtoB", "BtoA"):
            for metric in METRICS:
                rows.setdefault(kind, {}).setdefault(f"{metric} {direction}", []).append(scores[direction][metric])
    columns = [f"{metric} {direction}" for metric in METRICS for direction in ("AtoB", "BtoA")]
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for kind, scores in rows.items():
        cells = []
        for column in columns:
            values = scores[column]
            spread = f" ± {stdev(values):.3g}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.3g}{spread} ({', '.join(f'{value:.3g}' for value in values)})")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train and score one side for one seed, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["reference", "ours", "table"])
    parser.add_argument("--data", type=Path, default=Path("earth64"))
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32", "exact"], default="auto")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.what == "table":
        print(table(args.out))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    precision = "fp32" if args.what == "reference" else args.precision
    wanted = experiment(args.data, args.seed, args.steps, precision)
    kind = "reference" if args.what == "reference" else f"ours-{precision}"
    out = args.out / f"{kind}-{args.seed}"
    train_reference(wanted, out) if args.what == "reference" else train(wanted, out)
    result = evaluate(out, args.data, out=out / "evaluation.json")
    print(json.dumps({key: result[key] for key in ("AtoB", "BtoA")}), file=sys.stdout)


if __name__ == "__main__":
    main()
