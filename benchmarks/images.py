"""The README's images, from a data set and its translations: test tiles spread evenly, none chosen by hand.

    python -m benchmarks.images demo docs/images/earth.png

The folder holds data/testA, data/testB, AtoB and BtoA, as `unpaired demo` leaves them.

Each row: satellite image, its translation, the truth; then elevation colours, their translation, the truth.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from unpaired.imaging.images import read_image, to_tensor
from unpaired.training.logging import image_grid

ROWS, SHOWN = 7, 128
"""Rows of the grid, and pixels that a side of a tile is shown with at least."""


def main() -> None:
    """Compose the grid and write it."""
    demo, out = Path(sys.argv[1]), Path(sys.argv[2])
    files = sorted((demo / "data" / "testA").iterdir())
    chosen = [files[(2 * k + 1) * len(files) // (2 * ROWS)].name for k in range(ROWS)]
    folders = ("data/testA", "AtoB", "data/testB", "data/testB", "BtoA", "data/testA")
    rows = [[to_tensor(read_image(demo / folder / name).pixels) for folder in folders] for name in chosen]
    grid, scale = Image.fromarray(image_grid(rows)), -(-SHOWN // rows[0][0].shape[-1])
    out.parent.mkdir(parents=True, exist_ok=True)
    grid.resize((grid.width * scale, grid.height * scale), Image.Resampling.NEAREST).save(out, optimize=True)


if __name__ == "__main__":
    main()
