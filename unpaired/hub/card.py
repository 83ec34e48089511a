"""The model card: facts that a user needs before using a model, from its run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from unpaired.checkpoints.bundle import Bundle
from unpaired.config import DIRECTIONS
from unpaired.experiment import to_yaml
from unpaired.metrics.evidence import TOO_FEW, is_known

LIMITS = (
    "It invents: what it draws is what images of the other domain look like, not what is there. Not for measuring, "
    "diagnosis or evidence.",
    "Images unlike those it was trained on, in subject, scale, colour or depth, come out arbitrary.",
    "Colours and layout can be translated; it seldom changes shapes, and may hide traces of its input in its output.",
    "An image that is one flat colour carries nothing through instance normalisation.",
)
NOT_IN_CARD = ("model", "data", "notes")
"""Parts of a recipe that are paths on the author's machine, or printed by themselves."""


def card(
    repo: str,
    bundle: Bundle,
    licence: str,
    evaluation: Mapping[str, Any] | None,
    dataset: Mapping[str, Any],
    samples: Sequence[str],
    limits: str | None,
) -> str:
    """The text of README.md, for a repository of the name user/name and a licence by the hub's identifier.

    `evaluation` is the JSON of `unpaired evaluate`, `dataset` the facts of `dataset.json`; `samples` are the names of
    images in the repository, `limits` further known limitations.
    """
    parts = [
        _front_matter(licence),
        f"# {repo.rpartition('/')[2]}\n\n{_summary(bundle)}",
        f"## Use\n\n```\npip install 'unpaired[hub]'\nunpaired translate hub:{repo} INPUT OUTPUT\n```\n\n"
        f'```python\nimport unpaired\n\ntranslate = unpaired.Translator.load("hub:{repo}")\n'
        f'translate("image.jpg").save("translated.png")\n```',
        f"## Data\n\n{_data(bundle, dataset)}",
        f"## Numbers\n\n{_numbers(evaluation)}",
        *([f"## Samples\n\n{_samples(samples)}"] if samples else []),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in [*([limits] if limits else []), *LIMITS]),
        "## Settings\n\n<details><summary>All of them</summary>\n\n```yaml\n"
        f"{to_yaml(bundle.experiment)}```\n\n</details>",
        f"## Licence\n\nThe weights: {licence}. The data may carry terms of its own.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(licence: str) -> str:
    facts = {
        "license": licence,
        "library_name": "unpaired",
        "pipeline_tag": "image-to-image",
        "tags": ["cyclegan", "unpaired-image-to-image-translation"],
    }
    return f"---\n{yaml.safe_dump(facts, sort_keys=False)}---"


def _summary(bundle: Bundle) -> str:
    method, data = bundle.experiment.method, bundle.experiment.data
    directions = " and ".join(each for each in DIRECTIONS if each in bundle.translators)
    origin = f"converted from {bundle.source}" if bundle.source else f"after {bundle.step:,} steps"
    weights = {each: sum(w.numel() for w in net.parameters()) for each, net in bundle.translators.items()}
    sizes = ", ".join(f"{each} {count:,} weights" for each, count in weights.items())
    return (
        f"Unpaired image translation, {directions}: preset `{bundle.experiment.name}`, method `{method.name}`, "
        f"{origin}, at {data.crop_size} px, {data.channels_a} and {data.channels_b} channels. {sizes}."
    )


def _data(bundle: Bundle, dataset: Mapping[str, Any]) -> str:
    name = dataset.get("name") or Path(bundle.experiment.data.root).name or "not recorded"
    lines = [f"Trained on: {name}."]
    if isinstance(dataset.get("counts"), Mapping):
        counts = ", ".join(f"{part} {count}" for part, count in sorted(dataset["counts"].items()) if "/" not in part)
        lines.append(f"Images: {counts}.")
    lines += [f"{key.capitalize()}: {json.dumps(dataset[key])}." for key in ("rule", "sha256") if key in dataset]
    return "\n".join(lines)


def _numbers(evaluation: Mapping[str, Any] | None) -> str:
    if not evaluation:
        return "Not evaluated. `unpaired evaluate` before `unpaired push` puts its numbers here."
    recipe = evaluation.get("recipe", {})
    lines = ["| direction | metric | value | 95 % interval | n |", "|---|---|---|---|---|"]
    for direction in DIRECTIONS:
        for metric, value in evaluation.get(direction, {}).items():
            span = evaluation.get("intervals", {}).get(direction, {}).get(metric, {})
            count = span.get("n", recipe.get("n", {}).get(direction[0], ""))
            lines.append(f"| {direction} | {metric} | {value:g} | {_interval(span)} | {count} |")
    notes = [f"- {note}" for note in recipe.get("notes", [])]
    kept = json.dumps({key: value for key, value in recipe.items() if key not in NOT_IN_CARD}, indent=2)
    details = f"<details><summary>Recipe</summary>\n\n```json\n{kept}\n```\n\n</details>"
    return "\n".join([*lines, "", *notes, "", details])


def _interval(span: Mapping[str, float]) -> str:
    if not span:
        return ""
    return f"{span['low']:g} to {span['high']:g}" if is_known(span) else TOO_FEW


def _samples(samples: Sequence[str]) -> str:
    return "\n\n".join(["Each row: the image, its translation, and back again.", *(f"![{s}]({s})" for s in samples)])
