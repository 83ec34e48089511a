"""16-bit images of two channels, as of a fluorescence microscope: training and translation at full depth.

Domain A is the first microscope: dim nuclei and membranes, a bright background, noise. Domain B is the second: other
cells, bright, on black. This script draws the images; replace them by your own TIFFs.

    python examples/microscopy16.py OUT --steps 2000

makes OUT/data, trains OUT/run, and writes OUT/translated: two-channel 16-bit TIFFs again, under their own names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import unpaired
from unpaired.experiment import with_settings
from unpaired.imaging.images import DecodedImage, write_image
from unpaired.inference import translate_files

SIDE = 64
"""Pixels a side."""


def cells(rng: np.random.Generator, bright: bool) -> NDArray[np.uint16]:
    """A field of cells, (SIDE, SIDE, 2): nuclei and membranes, in 16 bits."""
    y, x = np.mgrid[:SIDE, :SIDE]
    nuclei, membranes = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for _ in range(rng.integers(5, 10)):
        (cy, cx), radius = rng.uniform(0, SIDE, 2), rng.uniform(4, 8)
        distance = np.hypot(y - cy, x - cx)
        nuclei += np.exp(-((distance / (0.6 * radius)) ** 4))
        membranes += np.exp(-(((distance - radius) / 1.2) ** 2))
    signal = np.stack([nuclei, membranes], axis=2).clip(0, 1)
    background, gain, noise = (0.01, 0.8, 0.005) if bright else (0.25, 0.3, 0.02)
    values = background + gain * signal + noise * rng.standard_normal(signal.shape)
    return np.rint(values.clip(0, 1) * 65535).astype(np.uint16)


def draw(data: Path, train: int, test: int) -> None:
    """trainA, trainB, testA and testB of TIFFs; no two fields alike."""
    for part, count in (("trainA", train), ("trainB", train), ("testA", test), ("testB", test)):
        (data / part).mkdir(parents=True)
        for k in range(count):
            rng = np.random.default_rng((ord(part[-1]), part.startswith("test"), k))
            write_image(DecodedImage(cells(rng, bright=part.endswith("B"))), data / part / f"field{k:03}.tif")


def main() -> None:
    """Draw, train, translate."""
    parser = argparse.ArgumentParser(description="16-bit two-channel microscopy")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--train", type=int, default=100, help="fields of each domain")
    parser.add_argument("--width", type=int, default=16, help="of the networks")
    options = parser.parse_args()
    data = options.out / "data"
    if not data.exists():
        draw(data, options.train, test=4)
    settings = {
        "data.channels_a": 2,
        "data.channels_b": 2,
        "data.preprocess": "none",
        "method.generator.width": options.width,
        "method.generator.blocks": 3,
        "method.discriminator.width": options.width,
        "method.discriminator.layers": 2,
        "optim.steps": options.steps,
    }
    experiment = with_settings(unpaired.presets.cyclegan(), settings, "example")
    run = unpaired.train(experiment, data=data, out=options.out / "run")
    to_second = unpaired.Translator.load(run, direction="AtoB")
    translate_files(to_second, str(data / "testA"), options.out / "translated")


if __name__ == "__main__":
    main()
