"""The images of the tutorial and the stored outputs of its notebook, of one run.

    python -m benchmarks.tutorial FOLDER

Runs examples/tutorial.ipynb in FOLDER (half an hour on one busy core), stores its outputs in the notebook, and draws
docs/images/tutorial-*.png and docs/images/earth.png from its data and its run. A FOLDER with an executed notebook is
only drawn from. Test tiles are spread evenly over the test set, none chosen by hand. Needs Chromium for the report.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from unpaired.inference import Translator

PROJECT = Path(__file__).parents[1]
NOTEBOOK, IMAGES = PROJECT / "examples" / "tutorial.ipynb", PROJECT / "docs" / "images"
EXECUTED = "executed.ipynb"
TILE, GAP, LABEL = 112, 4, 22
REPORT = 560
"""Height in pixels of the image of the report."""
COLUMNS = ("satellite", "translation", "truth", "map", "translation", "truth")

Images = list[Image.Image]


def main() -> None:
    """Run the notebook where it was not run yet, store its outputs, draw the images."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / EXECUTED).exists():
        execute(folder)
    executed = json.loads((folder / EXECUTED).read_text(encoding="utf-8"))
    NOTEBOOK.write_text(json.dumps(stored(executed), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sheet(tiles(folder / "earth64")).save(IMAGES / "tutorial-folders.png", optimize=True)
    steps, rows = through_training(folder / "runs" / "earth" / "samples")
    sheet(rows, ("input", *(f"{step:,} steps" for step in steps))).save(IMAGES / "tutorial-training.png", optimize=True)
    rows = translations(folder / "runs" / "earth", folder / "earth64")
    sheet(rows, COLUMNS).save(IMAGES / "earth.png", optimize=True)
    photograph(folder / "runs" / "earth" / "report.html", IMAGES / "tutorial-report.png")


def execute(folder: Path) -> None:
    """Run the notebook from top to bottom in a kernel of its own."""
    shutil.copy(NOTEBOOK, folder)
    command = [sys.executable, "-c", "from nbclient.cli import main; main()", NOTEBOOK.name]
    places = {name: str(folder.resolve() / ".jupyter") for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR")}
    environment = os.environ | {"PYTHONPATH": str(PROJECT)} | places
    options = [f"--output={EXECUTED.partition('.')[0]}", "--timeout=7200"]
    subprocess.run([*command, *options], cwd=folder, env=environment, check=True)


def stored(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with one output a stream, one form of each image, and no times."""
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)
        outputs: list[dict[str, Any]] = []
        for output in cell.get("outputs", []):
            if outputs and output["output_type"] == "stream" == outputs[-1]["output_type"]:
                if output["name"] == outputs[-1]["name"]:
                    outputs[-1]["text"] = [*outputs[-1]["text"], *output["text"]]
                    continue
            if "image/jpeg" in output.get("data", {}):
                output["data"].pop("image/png")
            outputs.append(output)
        if cell["cell_type"] == "code":
            cell["outputs"] = outputs
    return notebook


def evenly(folder: Path, count: int) -> list[Path]:
    """Files spread evenly over a folder."""
    files = sorted(folder.glob("*.png"))
    return [files[(2 * k + 1) * len(files) // (2 * count)] for k in range(count)]


def tiles(data: Path) -> list[Images]:
    """Tiles of trainA, and below them of trainB."""
    return [[Image.open(file) for file in evenly(data / part, 7)] for part in ("trainA", "trainB")]


def through_training(samples: Path) -> tuple[list[int], list[Images]]:
    """Steps of the sample grids A→B; per test image of the grids, the input and its translation at each step."""
    files = sorted(samples.glob("step-*_AtoB.png"))
    grids = [Image.open(file).convert("RGB") for file in files]
    columns = 3  # input, translation, way back
    side = (grids[0].width + 2) // columns  # tiles stand two pixels apart
    rows = [
        [grids[0].crop((0, top, side - 2, top + side - 2))]
        + [grid.crop((side, top, 2 * side - 2, top + side - 2)) for grid in grids]
        for top in range(0, grids[0].height, side)
    ]
    return [int(file.name[5:11]) for file in files], rows[:4]


def translations(run: Path, data: Path) -> list[Images]:
    """Both directions beside the truth, a test tile a row."""
    to_map, to_satellite = (Translator.load(run, direction=way) for way in ("AtoB", "BtoA"))
    rows = []
    for file in evenly(data / "testA", 5):
        satellite, relief = Image.open(file), Image.open(data / "testB" / file.name)
        rows.append([satellite, to_map(satellite), relief, relief, to_satellite(relief), satellite])
    return rows


def sheet(rows: list[Images], labels: tuple[str, ...] = ()) -> Image.Image:
    """Rows of images as one, with a label above each column."""
    top, step = LABEL if labels else 0, TILE + GAP
    page = Image.new("RGB", (step * len(rows[0]) - GAP, top + step * len(rows) - GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, label in enumerate(labels):
        draw.text((column * step, 2), label, fill="black", font=font)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            page.paste(image.convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST), (x * step, top + y * step))
    return page


def photograph(page: Path, out: Path) -> None:
    """The beginning of the report's test images, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1000, "height": 800})
        shown.goto(page.resolve().as_uri())
        shown.locator("#images").screenshot(path=out)
        browser.close()
    with Image.open(out) as image:
        image.crop((0, 0, image.width, REPORT)).save(out, optimize=True)


if __name__ == "__main__":
    main()
