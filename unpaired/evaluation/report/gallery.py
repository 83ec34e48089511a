"""Test images through the model: an even choice, and the worst and best of an evaluation."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from unpaired.config import Direction, opposite
from unpaired.data.heldout import HeldOut, read_whole, spread
from unpaired.data.sources import ImageFile
from unpaired.imaging.images import OneImage, Pixels, read_image, to_pixels, to_tensor
from unpaired.inference.translator import Translator

EXACT_SIDE, LARGEST_SIDE = 128, 240
"""Images up to the first side are embedded as they are, as PNG; larger ones are brought down to the second, as WebP."""
GRID_BYTES, GRID_SIDE = 60_000, 640
"""A sample grid above this size is embedded as WebP, with at most this side."""


@dataclass(frozen=True)
class Embedded:
    """An image as a data URI, with its size in pixels, so that the page keeps its place before it is decoded."""

    uri: str
    width: int
    height: int


Views = tuple[tuple[str, Embedded], ...]
"""(what it is, the image), from left to right."""

EVEN, EXTREMES = 8, 4
BATCH = 4
"""Translated together."""
LARGEST_INPUT = 512
"""A larger image is cut to its middle: the page shows it small, and a whole photograph takes long."""


@dataclass(frozen=True)
class Shown:
    """One test image on the page, with its error in words where it is known."""

    name: str
    views: Views
    score: str


@dataclass(frozen=True)
class Gallery:
    """One direction; `ranked_by` names the score that orders worst and best."""

    direction: Direction
    even: list[Shown]
    worst: list[Shown]
    best: list[Shown]
    ranked_by: str


def gallery(translator: Translator, held_out: HeldOut, scores: Sequence[Mapping[str, Any]]) -> Gallery:
    """The test images of the translator's direction; without the scores of an evaluation no worst and best."""
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
    columns = {path: [("input", inputs[path])] for path in paths}
    back = translator.to(opposite(translator.direction)) if len(translator.directions) == 2 else None
    for same in (files[k : k + BATCH] for files in by_size.values() for k in range(0, len(files), BATCH)):
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


def embed(image: OneImage) -> Embedded:
    """An image in [-1, 1]; small ones exactly."""
    shown = Image.fromarray(_rgb(to_pixels(image)))
    if max(shown.size) <= EXACT_SIDE:
        return Embedded(_uri(shown, "PNG"), *shown.size)
    shown.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return Embedded(_uri(shown, "WEBP"), *shown.size)


def embed_grid(path: Path) -> Embedded:
    """A sample grid of the trainer's."""
    grid = Image.fromarray(_rgb(to_pixels(to_tensor(read_image(path).pixels))))
    size = grid.size
    grid.thumbnail((GRID_SIDE, GRID_SIDE))
    small = path.stat().st_size <= GRID_BYTES and grid.size == size
    return Embedded(_uri(grid, "PNG" if small else "WEBP"), *grid.size)


def _rgb(pixels: Pixels) -> Pixels:
    """Gray or two-channel images as gray, the first three of more channels as colours."""
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _uri(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 80} if kind == "WEBP" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
