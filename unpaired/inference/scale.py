"""The size that images had in training, for translating at that scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unpaired.config import DataConfig
from unpaired.data.transforms import resize, scaled_to_width
from unpaired.imaging.images import DecodedImage

MUCH_LARGER = 2
"""Times the training size above which objects are larger than any that the network was trained on."""


def train_size(cfg: DataConfig, width: int, height: int) -> tuple[int, int]:
    """Width and height of an image at the training scale, as by the official test.py.

    `resize_and_crop`: `data.crop_size`, as test.py sets load_size to crop_size; `scale_width`: a width of
    `data.load_size`, at least `data.crop_size` high; `crop` and `none`: its own size.
    """
    if cfg.preprocess == "resize_and_crop":
        return cfg.crop
    if cfg.preprocess.startswith("scale_width"):
        return scaled_to_width(width, height, cfg)
    return width, height


def is_much_larger(cfg: DataConfig, width: int, height: int) -> bool:
    """Whether a side is over twice that of the training scale."""
    across, down = train_size(cfg, width, height)
    return width > MUCH_LARGER * across or height > MUCH_LARGER * down


def advice(cfg: DataConfig, count: int) -> str:
    """One line about `count` images that are much larger."""
    images = "1 image is" if count == 1 else f"{count} images are"
    whole = cfg.preprocess == "resize_and_crop"
    size = f"{cfg.crop.width}x{cfg.crop.height}" if whole else f"{cfg.load.width} wide"
    return f"{images} over twice the training size ({size}); --scale train takes that size"


def resized_beside(decoded: DecodedImage, height: int, width: int) -> DecodedImage:
    """Alpha, pixels without data and metadata for another size; the colours stay."""
    have = decoded.pixels.shape[:2]
    if have == (height, width):
        return decoded
    alpha, nodata = decoded.alpha, decoded.nodata
    if alpha is not None:
        alpha = resize(alpha, width, height)
    if nodata is not None:
        rows, columns = (np.arange(new) * old // new for new, old in zip((height, width), have, strict=True))
        nodata = replace(nodata, where=nodata.where[np.ix_(rows, columns)])
    about = decoded.about.resized(width / have[1], height / have[0])
    return replace(decoded, alpha=alpha, nodata=nodata, about=about)
