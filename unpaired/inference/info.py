"""`info`: what a model is, in a few lines or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from unpaired.checkpoints.bundle import BEST, Bundle, load_bundle
from unpaired.config import Direction
from unpaired.core.errors import shown
from unpaired.data.manifest import names_of, with_arrow
from unpaired.experiment import to_dict
from unpaired.inference.runtimes import is_exported, open_exported


def describe(model: Path, as_json: bool = False) -> str:
    """Preset, steps, directions, sizes and settings of a run or bundle, or an exported file's facts; else BadInput."""
    if is_exported(model):
        return _describe_exported(model, as_json)
    bundle = load_bundle(model)
    networks = bundle.translators.items()
    sizes: dict[Direction, int] = {
        each: sum(weight.numel() for weight in network.parameters()) for each, network in networks
    }
    settings, names = to_dict(bundle.experiment), names_of(bundle.experiment.data)
    best = load_bundle(model / BEST) if (model / BEST).is_file() else None
    if as_json:
        facts = {"step": bundle.step, "parameters": sizes, "experiment": settings}
        facts |= {"chosen": asdict(bundle.chosen)} if bundle.chosen else {}
        facts |= {"best": {"step": best.step, **asdict(best.chosen)}} if best and best.chosen else {}
        return json.dumps(facts, indent=2)
    generator = ", ".join(f"{key} {value}" for key, value in settings["method"]["generator"].items() if key != "name")
    origin = f"converted from {bundle.source}" if bundle.source else f"after {bundle.step} steps"
    lines = [
        f"{bundle.experiment.name}: {settings['method']['name']} {origin}",
        *(f"{with_arrow(direction, names)}: {count:,} parameters" for direction, count in sizes.items()),
        f"generator: {settings['method']['generator']['name']} ({generator})",
        _training(bundle),
        *([f"kept for {bundle.chosen}"] if bundle.chosen else []),
        *([f"{model / BEST}: step {best.step}, kept for {best.chosen}"] if best and best.chosen else []),
    ]
    return "\n".join(map(shown, lines))


def _training(bundle: Bundle) -> str:
    """What is known of the training: of converted weights, their channels alone."""
    data = bundle.experiment.data
    channels = f"channels A {data.channels_a}, B {data.channels_b}"
    if bundle.source:
        return f"{channels}; data and size of the training unknown"
    place = f"on {data.root} " if data.root else ""
    return f"trained {place}at {data.crop_size} px ({data.preprocess}), {channels}"


def _describe_exported(model: Path, as_json: bool) -> str:
    exported = open_exported(model)
    facts = exported.facts
    if as_json:
        return facts.to_json()
    lines = [
        f"{facts.experiment} after {facts.step} steps, exported: {exported.label}",
        f"{with_arrow(facts.direction, facts.domains)}: {facts.channels_in} to {facts.channels_out} channels",
        f"from a bundle of SHA-256 {facts.bundle_sha256}",
    ]
    return "\n".join(map(shown, lines))
