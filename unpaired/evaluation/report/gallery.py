"""Test images through the model: an even choice, and the worst and best of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unpaired.config import Direction, opposite
from unpaired.data.heldout import HeldOut, read_whole, spread
from unpaired.data.sources import ImageFile
from unpaired.evaluation.report.images import Embedded, embed
from unpaired.imaging.images import OneImage
from unpaired.inference.translator import Translator

Views = tuple[tuple[str, Embedded], ...]
"""(what it is, the image), from left to right."""

EVEN = 8
EXTREMES = 4
BATCH = 4
"""Translated together."""
LARGEST_INPUT = 512
"""A larger image is cut to its middle: the page shows it small, and a whole photograph takes long."""


@dataclass(frozen=True)
class Shown:
    """One test image on the page."""

    name: str
    views: Views
    score: str
    """Its error in words; empty where unknown."""


@dataclass(frozen=True)
class Gallery:
    """One direction."""

    direction: Direction
    even: list[Shown]
    worst: list[Shown]
    best: list[Shown]
    ranked_by: str
    """The score that orders worst and best."""


def gallery(translator: Translator, held_out: HeldOut, scores: Sequence[Mapping[str, Any]]) -> Gallery:
    """The images of the translator's direction.

    Args:
        translator: Turned to the direction to show.
        held_out: The test images.
        scores: `images` of an evaluation in this direction; without them there are no worst and best.
    """
    direction = translator.direction
    files = held_out.side(direction[0])
    truths = dict(zip(files, held_out.side(direction[-1]), strict=True)) if held_out.aligned else {}
    by_name = {str(entry["name"]): entry for entry in scores}
    measure = next((key for key in ("mean_abs_error", "cycle_error") if all(key in entry for entry in scores)), "")

    scored = [path for path in files if held_out.name(path) in by_name] if measure else []
    ranked = sorted(scored, key=lambda path: by_name[held_out.name(path)][measure])
    few = min(EXTREMES, len(ranked) // 2)
    places = dict(zip(files, held_out.groups(direction[0]) or files, strict=True))
    even, worst, best = spread(files, EVEN), _one_each(ranked[::-1], places, few), _one_each(ranked, places, few)
    views = _views(translator, list(dict.fromkeys([*even, *worst, *best])), truths)

    def show(path: ImageFile) -> Shown:
        name = held_out.name(path)
        error = by_name.get(name, {}).get(measure)
        return Shown(name, views[path], "" if error is None else f"{error:.1f} levels")

    words = {"mean_abs_error": "mean error against the truth", "cycle_error": "cycle error", "": ""}
    shown = ([show(path) for path in paths] for paths in (even, worst, best))
    return Gallery(direction, *shown, ranked_by=words[measure])


def _one_each(ranked: list[ImageFile], places: Mapping[ImageFile, object], few: int) -> list[ImageFile]:
    """The first few that share no content: one of each group of overlapping tiles."""
    first_of_place: dict[object, ImageFile] = {}
    for path in ranked:
        first_of_place.setdefault(places[path], path)
    return list(first_of_place.values())[:few]


def _views(
    translator: Translator, paths: list[ImageFile], truths: Mapping[ImageFile, ImageFile]
) -> dict[ImageFile, Views]:
    """The views of each image; images of one size are translated together."""
    inputs = {path: middle(read_whole(path, translator.domain_in)) for path in paths}
    by_size: dict[torch.Size, list[ImageFile]] = {}
    for path, image in inputs.items():
        by_size.setdefault(image.shape, []).append(path)
    columns: dict[ImageFile, list[tuple[str, OneImage]]] = {path: [("input", inputs[path])] for path in paths}
    both = len(translator.directions) == 2
    back = translator.to(opposite(translator.direction)) if both else None
    batches = [same[k : k + BATCH] for same in by_size.values() for k in range(0, len(same), BATCH)]
    for same in batches:
        translated = translator.translate(torch.stack([inputs[path] for path in same]))
        cycled = back.translate(translated) if back is not None else [None] * len(same)
        for path, output, again in zip(same, translated, cycled, strict=True):
            columns[path].append(("translation", output))
            if path in truths:
                columns[path].append(("truth", middle(read_whole(truths[path], translator.domain_out))))
            if again is not None:
                columns[path].append(("back again", again))
    return {path: tuple((label, embed(image)) for label, image in views) for path, views in columns.items()}


def middle(image: OneImage) -> OneImage:
    """At most `LARGEST_INPUT` pixels a side of the image, around its middle."""
    height, width = image.shape[1:]
    top, left = max(0, height - LARGEST_INPUT) // 2, max(0, width - LARGEST_INPUT) // 2
    return image[:, top : top + LARGEST_INPUT, left : left + LARGEST_INPUT]
