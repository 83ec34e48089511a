"""The README's first image: the whole Earth and test tiles, translated by the model `earth` that comes with unpaired.

    unpaired prepare earth earth256 --size 256 --globe-width 2700
    python -m benchmarks.first_image earth256 docs/images/first.jpg

Columns: input, translation, truth. The first row is the whole globe, 2700 px wide, in one piece by the huge-image
path; the others show the middle of test tiles, spread evenly over the test set, none chosen by hand.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from unpaired.commands.demo import GLOBE_WIDTH
from unpaired.data.prepare.earth import RASTERS, raster_folder, read_globe
from unpaired.inference import Options, Translator, translate_files

WIDTH, GAP, LABEL = 512, 10, 30
SHOWN = 3
"""Test tiles."""
PART = (0, 48, 256, 208)
"""What is shown of a tile of 256 px."""
COLUMNS = ("satellite image (input)", "translation by the model `earth`", "map of shaded relief (truth)")

Row = tuple[Image.Image, Image.Image, Image.Image]


def main() -> None:
    """Compose the image and write it."""
    data, out = map(Path, sys.argv[1:3])
    rows = [globes(), *tiles(data)]
    heights = [WIDTH * row[0].height // row[0].width for row in rows]
    size = (len(COLUMNS) * (WIDTH + GAP) + GAP, LABEL + sum(heights) + GAP * len(rows))
    sheet, top = Image.new("RGB", size, "white"), LABEL
    for column, label in enumerate(COLUMNS):
        place = (GAP + column * (WIDTH + GAP), 4)
        ImageDraw.Draw(sheet).text(place, label, fill="black", font=ImageFont.load_default(19))
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            resized = image.resize((WIDTH, height), Image.Resampling.LANCZOS)
            sheet.paste(resized, (GAP + column * (WIDTH + GAP), top))
        top += height + GAP
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=88)


def globes() -> Row:
    """The Earth from space, its translation, and the truth."""
    a, b = (read_globe(raster_folder() / f"{name}.jpg", GLOBE_WIDTH) for name in RASTERS["satellite-relief"])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "globe.png", Path(folder) / "map.png"
        a.save(source)
        translate_files(Translator.load("earth"), str(source), target, Options(tile=256))
        with Image.open(target) as image:
            return a, image.convert("RGB"), b


def tiles(data: Path) -> list[Row]:
    """The middle of test tiles spread evenly, with translation and truth."""
    names = sorted(path.name for path in (data / "testA").iterdir())
    translate = Translator.load("earth")
    rows = []
    for name in (names[(2 * k + 1) * len(names) // (2 * SHOWN)] for k in range(SHOWN)):
        source, truth = (Image.open(data / folder / name).convert("RGB") for folder in ("testA", "testB"))
        rows.append((source.crop(PART), translate(source).crop(PART), truth.crop(PART)))
    return rows


if __name__ == "__main__":
    main()
