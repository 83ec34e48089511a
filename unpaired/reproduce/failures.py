"""Failure cases (Sec. 6), each with a number: the worst tiles, what training never saw, and changes of shape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unpaired.core.files import write_text
from unpaired.data.heldout import open_held_out
from unpaired.data.manifest import new_dataset, read_manifest
from unpaired.data.prepare.earth import MASK, SOUTH, raster_folder, read_globe, read_labels
from unpaired.data.prepare.earth_labels import earth_labels, painted
from unpaired.experiment import with_settings
from unpaired.imaging.images import Pixels, read_image, to_tensor
from unpaired.inference.translator import Translator
from unpaired.metrics.palette import IGNORE, Palette
from unpaired.metrics.segmentation import confusion_matrix, pixel_accuracy
from unpaired.reproduce.figures import save_columns, translated
from unpaired.reproduce.page import Section
from unpaired.reproduce.runs import Workshop, say
from unpaired.training import train

SHOWN = 6
RED, BLUE, GREEN, GRAY = (200, 50, 40), (40, 60, 160), (40, 160, 70), (170, 170, 170)


def failures(shop: Workshop) -> list[Section]:
    """The three kinds, the first two of them with the CycleGAN that the tables share."""
    return [_worst(shop), _unseen(shop), _geometry(shop)]


@dataclass(frozen=True)
class Labelled:
    """A photo, the labels made of it, the true ones, and the share of pixels that agree."""

    photo: Pixels
    output: Pixels
    truth: Pixels
    accuracy: float


def _worst(shop: Workshop) -> Section:
    """The test tiles whose labels it gets most wrong."""
    held_out = open_held_out(shop.labels, "yes")
    pairs = zip(held_out.a, held_out.b, strict=True)
    tiles = [(read_image(photo).pixels, read_image(label).pixels) for photo, label in pairs]
    found = sorted(_labelled(shop, tiles), key=lambda each: each.accuracy)
    path = _figure(shop, "failures-worst", found[:SHOWN])
    rows = [["test tiles", "per-pixel acc."], ["all, median", f"{np.median([e.accuracy for e in found]):.3f}"]]
    rows += [[f"number {k} from below", f"{each.accuracy:.3f}"] for k, each in enumerate(found[:SHOWN], 1)]
    notes = ("The report of every run ranks its worst images like this.",)
    return Section("failures-worst", "Failures: the worst test tiles, photo to labels", notes, (rows,), (path,))


def _unseen(shop: Workshop) -> Section:
    """Antarctica, which no training tile shows: the paper's rider on the zebra."""
    found = _labelled(shop, antarctic_tiles(shop.budget.size, shop.budget.globe_width))
    scores = shop.scores("CycleGAN")
    assert scores is not None  # it was trained above
    path = _figure(shop, "failures-unseen", found[:: max(1, len(found) // SHOWN)][:SHOWN])
    rows = [
        ["tiles", "number", "per-pixel acc."],
        ["test strips", str(scores["recipe"]["images"]), f"{scores['AtoB']['pixel_accuracy']:.3f}"],
        ["Antarctica", str(len(found)), f"{np.mean([each.accuracy for each in found]):.3f}"],
    ]
    notes = (f"No training tile reaches south of {SOUTH} degrees: ice sheets and shelves are new to the network.",)
    return Section("failures-unseen", "Failures: places unlike the training set", notes, (rows,), (path,))


def _geometry(shop: Workshop) -> Section:
    """Discs into squares: colours change, shapes do not (the paper's dog and cat)."""
    data, run = shop.out / "data" / "shapes", shop.run("shapes")
    if not data.exists():
        draw_shapes(data, shop.budget.size)
    if not (run / "measured.json").is_file():
        say("failures: discs into squares")
        train(with_settings(shop.experiment("CycleGAN", data), {"name": "reproduce shapes"}), run)
        write_text(run / "measured.json", json.dumps(_shape_change(shop.model("shapes", "AtoB"), data)))
    measured = json.loads((run / "measured.json").read_text(encoding="utf-8"))
    held_out, model = open_held_out(data, "yes", SHOWN), shop.model("shapes", "AtoB")
    path = shop.out / "figures" / "failures-geometry.png"
    discs, squares = ([read_image(file).pixels for file in side] for side in (held_out.a, held_out.b))
    became = [translated(model, disc) for disc in discs]
    save_columns([("disc", discs), ("CycleGAN", became), ("asked for", squares)], path)
    rows = [
        ["of the pixels that", "share that became the square's colour"],
        ["the disc covers: asks for a new colour", f"{measured['colour']:.3f}"],
        ["the square's corners cover, the disc does not: asks for a new shape", f"{measured['shape']:.3f}"],
        ["lie on the ground: should be 0", f"{measured['ground']:.3f}"],
    ]
    notes = ("Red discs on blue and green squares on gray, drawn at the same places; 1 and 1 would be a full change.",)
    return Section("failures-geometry", "Failures: changes of geometry", notes, (rows,), (path,))


def antarctic_tiles(size: int, globe_width: int) -> list[tuple[Pixels, Pixels]]:
    """Photo and label image of tiles side by side, three quarters of each south of `SOUTH`, where any is land."""
    folder = raster_folder()
    mask = read_labels(folder / MASK, globe_width)
    photo, elevation = (read_globe(folder / f"{name}.jpg", globe_width) for name in ("bmng", "etopo1"))
    label = painted(earth_labels(mask, photo, elevation))
    top, tiles = int((90 - SOUTH) * globe_width / 360), []
    for upper in range(globe_width // 2 - size, top - size // 4 - 1, -size):
        for left in range(0, globe_width - size + 1, size):
            box = (left, upper, left + size, upper + size)
            if (mask[upper : upper + size, left : left + size] == 1).any():
                tiles.append((np.asarray(photo.crop(box)), np.asarray(label.crop(box))))
    return tiles


def draw_shapes(out: Path, size: int, count: int = 120, tests: int = 24) -> None:
    """A: red discs on blue; B: green squares on gray, of the discs' diameter; tests show both at one place."""
    rng = np.random.default_rng(0)
    with new_dataset(out) as manifest:
        for k in range(2 * count + tests):
            side = int(rng.integers(size // 3, size // 2))
            left, top = (int(place) for place in rng.integers(2, size - side - 2, 2))
            box = (left, top, left + side - 1, top + side - 1)
            for domain in "AB":
                folder = f"test{domain}" if k >= 2 * count else f"train{domain}"
                if k >= 2 * count or (k % 2 == 0) == (domain == "A"):
                    manifest.save(_shape(domain, size, box), f"{folder}/{k:03d}.png")
        manifest.describe(name="discs and squares", aligned=True, source={"licence": "drawn by unpaired"})


def _shape(domain: str, size: int, box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", (size, size), BLUE if domain == "A" else GRAY)
    draw = ImageDraw.Draw(image)
    draw.ellipse(box, RED) if domain == "A" else draw.rectangle(box, GREEN)
    return image


def _shape_change(model: Translator, data: Path) -> dict[str, float]:
    """Shares of disc, corners and ground that became green rather than gray."""
    held_out = open_held_out(data, "yes")
    became: dict[str, list[NDArray[np.bool_]]] = {"colour": [], "shape": [], "ground": []}
    for disc_path, square_path in zip(held_out.a, held_out.b, strict=True):
        disc, square = read_image(disc_path).pixels, read_image(square_path).pixels
        output = translated(model, disc).astype(int)
        green = np.abs(output - GREEN).sum(2) < np.abs(output - GRAY).sum(2)
        in_disc, in_square = disc[..., 0] > disc[..., 2], square[..., 1] > square[..., 0]
        for name, where in (("colour", in_disc), ("shape", in_square & ~in_disc), ("ground", ~in_square)):
            became[name].append(green[where])
    return {name: float(np.concatenate(parts).mean()) for name, parts in became.items()}


def _labelled(shop: Workshop, tiles: Sequence[tuple[Pixels, Pixels]]) -> list[Labelled]:
    """Every photo with its labels, as CycleGAN labels it."""
    palette = Palette.of(read_manifest(shop.labels), shop.labels)
    model, labelled = shop.model("CycleGAN", "AtoB"), []
    for photo, label in tiles:
        output = translated(model, photo)
        found, truth = palette.nearest(to_tensor(output)[None]), palette.exact(to_tensor(label)[None])
        accuracy = pixel_accuracy(confusion_matrix(found, truth, len(palette.names), IGNORE))
        labelled.append(Labelled(photo, output, label, accuracy))
    return labelled


def _figure(shop: Workshop, slug: str, tiles: Sequence[Labelled]) -> Path:
    path = shop.out / "figures" / f"{slug}.png"
    columns = [("photo", [t.photo for t in tiles]), ("CycleGAN", [t.output for t in tiles])]
    save_columns([*columns, ("truth", [t.truth for t in tiles])], path)
    return path
