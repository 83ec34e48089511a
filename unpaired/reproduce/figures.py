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


def comparison(shop: Workshop, names: Sequence[str], direction: Direction, rows: int = 6) -> Path | None:
    """An image with a column per method between input and truth; None where no method has been run."""
    names = [name for name in names if shop.scores(name) is not None]
    if not names:
        return None
    held_out = open_held_out(shop.labels, "yes", rows)
    inputs, truths = ([_rgb(path) for path in held_out.side(side)] for side in (direction[0], direction[-1]))
    columns = [("input", inputs)]
    for name in names:
        model = shop.model(name, direction)
        columns.append((name, [translated(model, pixels) for pixels in inputs]))
    path = shop.out / "figures" / f"{direction}-{'-'.join(map(_slug, names))[:80]}.png"
    save_columns([*columns, ("truth", truths)], path)
    return path


def translated(model: Translator, pixels: Pixels) -> Pixels:
    """The translation of an image."""
    output = model(pixels)
    assert isinstance(output, np.ndarray)  # as was given
    return output


def save_columns(columns: Sequence[tuple[str, list[Pixels]]], path: Path) -> None:
    """Write named columns of images as one PNG."""
    side, rows = max(ENLARGED, columns[0][1][0].shape[0]), len(columns[0][1])
    pitch = side + GAP
    sheet = Image.new("RGB", (len(columns) * pitch - GAP, HEAD + rows * pitch - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (name, images) in enumerate(columns):
        draw.text((column * pitch + 1, 1), name[:16], fill="black")
        for row, pixels in enumerate(images):
            tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (column * pitch, HEAD + row * pitch))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _rgb(path: ImageFile) -> Pixels:
    return np.asarray(Image.fromarray(read_image(path).pixels.squeeze()).convert("RGB"))


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())
