"""Images that int8 takes its ranges from, and others that verify lower precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unpaired.core.errors import BadInput
from unpaired.data.folders import domain_files
from unpaired.data.ranges import domain_of
from unpaired.data.sources import ImageFile
from unpaired.data.transforms import central
from unpaired.experiment import Experiment
from unpaired.imaging.images import Array, to_array

CALIBRATED, VERIFIED = 128, 32
"""Images for the ranges, and for the verdict."""


def training_images(experiment: Experiment, data: Path | None, side: str) -> tuple[list[Array], list[Array]]:
    """Two sets of images (c, h, w) in [-1, 1], sized as in training, spread evenly over trainA or trainB.

    No image is in both where there are two or more.

    Raises:
        BadInput: no training images there, or one that cannot be read.
    """
    root = data or Path(experiment.data.root)
    try:
        files = list(domain_files(root, f"train{side}", pages=experiment.data.pages))
    except BadInput as error:
        raise BadInput(f"bf16 and int8 need training images; give their folder by --data ({error})") from error
    domain = domain_of(experiment.data, "A" if side == "A" else "B")

    def spread(files: list[ImageFile], count: int) -> list[Array]:
        places = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
        return [to_array(central(domain.read(files[place]), experiment.data)) for place in places]

    return spread(files[1::2] or files, CALIBRATED), spread(files[::2], VERIFIED)
