"""All methods on the same inputs, like the paper's Figures 5 to 8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from unpaired.config import Direction
from unpaired.data.heldout import open_held_out
from unpaired.data.sources import ImageFile
from unpaired.imaging.images import Pixels, read_image
from unpaired.inference.translator import Translator
from unpaired.reproduce.runs import Workshop

HEAD, GAP, ENLARGED = 14, 2, 96
"""Pixels: height of the line of names, space between images, least side of an image."""


def comparison(shop: Workshop, names: Sequence[str], seed: int, direction: Direction, rows: int = 6) -> Path | None:
    """An image with a column per method between input and truth; None where no method has been run."""
    names = [name for name in names if shop.scores(name, seed) is not None]
    if not names:
        return None
    held_out = open_held_out(shop.labels, "yes", rows)
    inputs, truths = ([_image(path) for path in held_out.side(side)] for side in (direction[0], direction[-1]))
    columns = [("input", inputs)]
    for name in names:
        translator = Translator.load(shop.run(name, seed), direction, precision="fp32", device=shop.device)
        columns.append((name, [_translated(translator, path) for path in held_out.side(direction[0])]))
    columns.append(("truth", truths))
    path = shop.out / "figures" / f"{direction}-{'-'.join(_slug(name) for name in names)[:80]}.png"
    save_columns(columns, path)
    return path


def save_columns(columns: Sequence[tuple[str, list[Pixels]]], path: Path) -> None:
    """Write named columns of images as one PNG."""
    side = max(ENLARGED, columns[0][1][0].shape[0])
    sheet = Image.new(
        "RGB", (len(columns) * (side + GAP) - GAP, HEAD + len(columns[0][1]) * (side + GAP) - GAP), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for column, (name, images) in enumerate(columns):
        draw.text((column * (side + GAP) + 1, 1), name[:16], fill="black")
        for row, pixels in enumerate(images):
            tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (column * (side + GAP), HEAD + row * (side + GAP)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _image(path: ImageFile) -> Pixels:
    return np.asarray(Image.fromarray(read_image(path).pixels.squeeze()).convert("RGB"))


def _translated(translator: Translator, path: ImageFile) -> Pixels:
    output = translator(Image.fromarray(_image(path)))
    assert isinstance(output, Image.Image)  # as was given
    return np.asarray(output.convert("RGB"))


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())
