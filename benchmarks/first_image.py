"""The README's first image: the whole Earth and test tiles, translated by the models that come with unpaired.

    unpaired prepare earth earth64
    unpaired prepare emoji emoji64
    python -m benchmarks.first_image earth64 emoji64 docs/images/first.jpg

The globe, 1350 px wide, goes through the huge-image path in tiles of 256 px. Test images are spread evenly over the
test sets, none chosen by hand.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from unpaired.commands.demo_run import GLOBE_WIDTH
from unpaired.data.prepare.earth import RASTERS, raster_folder, read_globe
from unpaired.inference import Options, Translator, translate_files

GLOBE = (800, 400)
TILE, GAP, LABEL = 112, 12, 26
SHOWN = 3
"""Test images of each data set."""
ROWS = ("input", "output", "truth")


def main() -> None:
    """Compose the image and write it."""
    earth, emoji, out = map(Path, sys.argv[1:4])
    sheet = Image.new("RGB", (2 * GLOBE[0] + 3 * GAP, 2 * (GLOBE[1] + LABEL) + 3 * GAP), "white")
    right, below = GLOBE[0] + 2 * GAP, GLOBE[1] + LABEL + 2 * GAP
    satellite, translated, truth = globes()
    place(sheet, satellite, GAP, GAP, "Earth from space (input)")
    place(sheet, translated, right, GAP, "its translation by the model `earth`, in one piece")
    place(sheet, truth, GAP, below, "map of shaded relief (truth, not seen beside the input)")
    left = right
    for model, data, label in (("earth", earth, "test tiles, `earth`"), ("emoji", emoji, "test drawings, `emoji`")):
        write(sheet, left, below, f"{label}: {', '.join(ROWS)}")
        for column in columns(model, data):
            for row, image in enumerate(column):
                sheet.paste(image, (left, below + LABEL + row * (TILE + GAP)))
            left += TILE + GAP
        left += GAP
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=90)


def globes() -> tuple[Image.Image, Image.Image, Image.Image]:
    """The Earth from space, its translation, and the truth."""
    a, b = (read_globe(raster_folder() / f"{n}.jpg", GLOBE_WIDTH) for n in RASTERS["satellite-relief"])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "globe.png", Path(folder) / "map.png"
        a.save(source)
        translate_files(Translator.load("earth"), str(source), target, Options(tile=256))
        with Image.open(target) as image:
            return tuple(each.resize(GLOBE, Image.Resampling.LANCZOS) for each in (a, image.convert("RGB"), b))


def columns(model: str, data: Path) -> list[list[Image.Image]]:
    """Input, output and truth of test images spread evenly."""
    names = sorted(path.name for path in (data / "testA").iterdir())
    chosen = [names[(2 * k + 1) * len(names) // (2 * SHOWN)] for k in range(SHOWN)]
    translate = Translator.load(model)
    found = []
    for name in chosen:
        source, truth = (Image.open(data / folder / name).convert("RGB") for folder in ("testA", "testB"))
        found.append(
            [each.resize((TILE, TILE), Image.Resampling.BICUBIC) for each in (source, translate(source), truth)]
        )
    return found


def place(sheet: Image.Image, image: Image.Image, left: int, top: int, label: str) -> None:
    """An image under its label."""
    write(sheet, left, top, label)
    sheet.paste(image, (left, top + LABEL))


def write(sheet: Image.Image, left: int, top: int, label: str) -> None:
    """A line of text."""
    ImageDraw.Draw(sheet).text((left, top + 2), label, fill="black", font=ImageFont.load_default(17))


if __name__ == "__main__":
    main()
