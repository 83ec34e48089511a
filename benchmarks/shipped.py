"""Put a trained run into models/: its generators in fp16, a card, an image of examples, a line of the index.

    unpaired prepare earth earth256 --size 256 --globe-width 5400
    unpaired train standard --data earth256 --out runs/earth --data.preprocess crop --data.load-size 256 \
        --data.crop-size 128 --method.generator.width 32 --method.generator.downs 5 --steps 4000
    unpaired evaluate runs/earth earth256 --out earth.json
    python -m benchmarks.shipped runs/earth earth --data earth256 --evaluation earth.json \
        --prepare "unpaired prepare earth DATA --size 256 --globe-width 5400" \
        --summary "satellite image to map of shaded relief and back" --time "40 minutes of one CPU core" \
        --limits "It takes images of any size. Ice comes out as pale land." \
        --also earth-64px.json "unpaired prepare earth DATA"

`--also` is an evaluation on images of another size, and what made them. Prints by how many levels the rounding of the
weights changes translations of test images.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unpaired.checkpoints.bundle import load_bundle, write_bundle
from unpaired.checkpoints.shipped import FORMAT, INDEX
from unpaired.config import DIRECTIONS
from unpaired.core.files import file_sha256
from unpaired.data.manifest import names_of, read_manifest
from unpaired.experiment import flatten
from unpaired.imaging.images import read_image
from unpaired.inference import Translator
from unpaired.presets import SCALED, preset

MODELS = Path(__file__).parents[1] / "models"
LARGEST = 8e6
"""Bytes a direction may take."""
METRICS = {"mean_abs_error": "mean error, levels", "ssim": "SSIM", "water_iou": "water IoU", "swd": "SWD"}
MODEL = "model"
EXAMPLE = 96
"""Side in pixels of an image of the examples."""
BASELINES = {"copy": "copy", "mean_colour": "mean colour", "histogram_matching": "histogram matching"}


def main() -> None:
    """Write the bundle, the card, the examples and the index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, required=True)
    parser.add_argument("--summary", required=True)
    parser.add_argument("--prepare", required=True, help="the command that made the data")
    parser.add_argument("--limits", required=True, help="what it cannot do, in words")
    words = "an evaluation on images of another size, and the command that made them"
    parser.add_argument("--also", nargs=2, metavar=("FILE", "COMMAND"), help=words)
    parser.add_argument("--time", required=True, help="what the training took, in words")
    args = parser.parse_args()
    bundle = load_bundle(args.run)
    MODELS.mkdir(exist_ok=True)
    path = MODELS / f"{args.name}.safetensors"
    write_bundle(path, bundle, "fp16")
    if path.stat().st_size > LARGEST * len(bundle.translators):
        raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, expected at most {LARGEST:,.0f} a direction")
    print(f"rounding to fp16 changes {rounding(args.run, path, args.data):.3f} levels on average")
    facts = read_manifest(args.data)
    examples(Translator.load(path, "AtoB"), args.data).save(MODELS / f"{args.name}.jpg", quality=85)
    size = bundle.experiment.data.crop_size
    write_index(args.name, path, names_of(bundle.experiment.data), args.summary, size, facts["source"]["licence"])
    evaluation = json.loads(args.evaluation.read_text())
    (MODELS / f"{args.name}.md").write_text(
        card(args, bundle.step, path, facts, evaluation, flatten(bundle.experiment))
    )


def rounding(run: Path, stored: Path, data: Path, count: int = 16) -> float:
    """Mean absolute difference in 8-bit levels between translations of the run and of the stored bundle."""
    differences = []
    for direction in DIRECTIONS:
        files = sorted((data / f"test{direction[0]}").iterdir())
        chosen = files[:: max(1, len(files) // count)][:count]
        exact, rounded = Translator.load(run, direction), Translator.load(stored, direction)
        for file in chosen:
            image = read_image(file).pixels
            differences.append(np.abs(np.asarray(exact(image)).astype(float) - np.asarray(rounded(image))).mean())
    return float(np.mean(differences))


def examples(translate: Translator, data: Path, count: int = 5) -> Image.Image:
    """Test images spread evenly over testA, none chosen by hand; inputs above, translations below."""
    files = sorted((data / "testA").iterdir())
    shown = [Image.open(files[(2 * k + 1) * len(files) // (2 * count)]).convert("RGB") for k in range(count)]
    sheet = Image.new("RGB", (count * EXAMPLE, 2 * EXAMPLE), "white")
    for k, image in enumerate(shown):
        for row, each in enumerate((image, translate(image))):
            sheet.paste(each.resize((EXAMPLE - 2, EXAMPLE - 2), Image.Resampling.BICUBIC), (k * EXAMPLE, row * EXAMPLE))
    return sheet


def write_index(name: str, path: Path, domains: tuple[str, str], summary: str, size: int, licence: str) -> None:
    """Add or replace one line of the index."""
    index = MODELS / INDEX
    content = json.loads(index.read_text()) if index.is_file() else {"format": FORMAT, "models": {}}
    line = {"file": path.name, "sha256": file_sha256(path), "domains": domains, "summary": summary}
    line |= {"size": size, "licence": licence}
    content["models"] = dict(sorted((content["models"] | {name: line}).items()))
    index.write_text(json.dumps(content, indent=2) + "\n")


def card(
    args: argparse.Namespace,
    step: int,
    path: Path,
    facts: dict[str, Any],
    evaluation: dict[str, Any],
    settings: dict[str, Any],
) -> str:
    """The model's page."""
    parts = [
        f"# {args.name}",
        f"{args.summary[:1].upper()}{args.summary[1:]}.",
        f"![Test images above, their translations below]({args.name}.jpg)",
        f"```\nunpaired translate {args.name} IMAGE OUTPUT\nunpaired translate {args.name} IMAGE OUTPUT "
        f"--direction BtoA\n```",
        "\n".join(
            (
                f"- Data: {facts['name']}, package {facts['source']['package']}; {facts['source']['licence']}.",
                f"- Data command: `{args.prepare}`",
                f"- Training: step {step} of {settings['optim.steps']}; {args.time}.",
                f"- Weights: {path.name}, fp16, {path.stat().st_size / 1e6:.1f} MB for both directions.",
                f"- Command: `{command(settings)}`",
            )
        ),
        "## Scores\n\nOn the test images, A→B / B→A, with 95 % confidence intervals over test images.",
        table(evaluation),
        *(also(*args.also) if args.also else ()),
        f"## Limits\n\n{args.limits}\n\nIt invents: its output looks like images of the other domain and is no "
        "measurement. Images of another subject, scale or colour come out arbitrary.",
    ]
    return "\n\n".join(parts) + "\n"


def also(file: str, prepare: str) -> tuple[str, str, str]:
    """The scores on images of another size."""
    evaluation = json.loads(Path(file).read_text())
    (size,) = evaluation["recipe"]["sizes"]
    side = size.split("x")[0]
    return (
        f"## At {side} px",
        f"On images of {side} px (`{prepare}`):",
        table(evaluation),
    )


def command(settings: dict[str, Any]) -> str:
    """The training command: the preset, and what differs from it."""
    name = settings["name"]
    plain = flatten(SCALED[name](settings["data.crop_size"]) if name in SCALED else preset(name))
    ignored = ("name", "data.root", "data.name_", "runtime.")
    plain["data.crop_size"] = flatten(preset(name))["data.crop_size"]  # which a preset that follows it is told
    changed = {key: value for key, value in settings.items() if plain.get(key) != value and not key.startswith(ignored)}
    flags = [word for key, value in changed.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    return shlex.join(["unpaired", "train", name, "--data", "DATA", "--out", "RUN", *flags])


def table(evaluation: dict[str, Any]) -> str:
    """The model beside the baselines."""
    columns = {MODEL: MODEL, **BASELINES}
    lines = [f"| | {' | '.join(columns.values())} |", f"|---|{'---|' * len(columns)}"]
    for metric, words in METRICS.items():
        for direction in DIRECTIONS:
            if metric in evaluation[direction]:
                cells = [_cell(evaluation, direction, column, metric) for column in columns]
                lines.append(f"| {words} {direction[0]}→{direction[-1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(evaluation: dict[str, Any], direction: str, column: str, metric: str) -> str:
    if column == MODEL:
        value, intervals = evaluation[direction].get(metric), evaluation["intervals"][direction]
    else:
        value = evaluation["baselines"][direction].get(column, {}).get(metric)
        intervals = evaluation["baseline_intervals"][direction].get(column, {})
    if value is None:
        return ""
    digits = 1 if abs(value) >= 5 else 3
    interval = intervals.get(metric)
    around = f" ({interval['low']:.{digits}f} to {interval['high']:.{digits}f})" if interval else ""
    return f"{value:.{digits}f}{around}"


if __name__ == "__main__":
    main()
