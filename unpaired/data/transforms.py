"""From an image's pixels to what a step sees, with the official code's meaning of each word.

`resized` is the part that is the same every time, so its result may be kept; `draw_window` and `augmented` draw from a
generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.imaging.images import MAX_PIXELS, Pixels, full_scale

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def resize(pixels: Pixels, width: int, height: int, kernel: Image.Resampling = BICUBIC) -> Pixels:
    """With antialiasing (Pillow's), at any depth and number of channels."""
    if pixels.shape[:2] == (height, width):
        return pixels
    size = (width, height)
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
        return np.asarray(image.resize(size, kernel)).reshape(height, width, -1)
    layers = [Image.fromarray(layer.astype(np.float32)) for layer in np.moveaxis(pixels, 2, 0)]
    stack = np.stack([np.asarray(layer.resize(size, kernel)) for layer in layers], axis=2)
    stack = stack.clip(0, full_scale(pixels.dtype))
    return stack if pixels.dtype.kind == "f" else np.rint(stack).astype(pixels.dtype)


def resized(pixels: Pixels, cfg: DataConfig, kernel: Image.Resampling = BICUBIC) -> Pixels:
    """The fixed part of `data.preprocess`: the size before cropping; raises as `fitted_size`."""
    return resize(pixels, *fitted_size(pixels.shape[1], pixels.shape[0], cfg), kernel)


def fitted_size(width: int, height: int, cfg: DataConfig) -> tuple[int, int]:
    """Width and height of an image after the fixed part of `data.preprocess`.

    Raises:
        BadInput: smaller than the crop, or more pixels than any image may have.
    """
    if cfg.preprocess == "resize_and_crop":
        width, height = cfg.load
    elif cfg.preprocess in ("scale_width", "scale_width_and_crop"):
        width, height = scaled_to_width(width, height, cfg)
    elif cfg.preprocess == "none":
        width, height = (max(4, round(side / 4) * 4) for side in (width, height))
    if crops(cfg) and (width < cfg.crop.width or height < cfg.crop.height):
        sides = f"{cfg.crop} px" + " a side" * (cfg.crop.width == cfg.crop.height)
        found = f"found {width}x{height}; lower data.crop-size or set data.preprocess resize_and_crop"
        raise BadInput(f"expected at least data.crop_size = {sides} after {cfg.preprocess}, {found}")
    if width * height > MAX_PIXELS:
        raise BadInput(f"{width}x{height} after {cfg.preprocess} is over the limit of {MAX_PIXELS} pixels")
    return width, height


def scaled_to_width(width: int, height: int, cfg: DataConfig) -> tuple[int, int]:
    """Width `data.load_size` and the height in proportion, at least `data.crop_size`, as in the official code."""
    if width == cfg.load.width and height >= cfg.crop.height:
        return width, height
    return cfg.load.width, max(cfg.load.width * height // width, cfg.crop.height)


@dataclass(frozen=True)
class Window:
    """The drawn part: which rows and columns of an image are seen, and whether they are mirrored left to right."""

    rows: slice
    columns: slice
    mirrored: bool

    def of(self, pixels: Any) -> Any:
        """The rows and columns of (h, w, c) pixels, array or tensor, not mirrored yet: a view."""
        return pixels[self.rows, self.columns]

    def cut(self, pixels: Pixels) -> Pixels:
        """The rows and columns of (h, w, c) pixels, mirrored where they are to be: a view."""
        return self.of(pixels)[:, ::-1] if self.mirrored else self.of(pixels)


def draw_window(height: int, width: int, cfg: DataConfig, rng: np.random.Generator) -> Window:
    """A random crop of an image of this size, mirrored half of the time."""
    left = top = 0
    if crops(cfg):
        left = int(rng.integers(width - cfg.crop.width + 1))
        top = int(rng.integers(height - cfg.crop.height + 1))
        width, height = cfg.crop
    mirrored = cfg.flip and bool(rng.random() < 0.5)
    return Window(slice(top, top + height), slice(left, left + width), mirrored)


def augmented(pixels: Pixels, cfg: DataConfig, rng: np.random.Generator) -> Pixels:
    """The pixels in a drawn window, mirrored where it is; a view, nothing is copied."""
    return draw_window(pixels.shape[0], pixels.shape[1], cfg, rng).cut(pixels)


def central(pixels: Pixels, cfg: DataConfig) -> Pixels:
    """The image as training would size it, cut from the middle and never mirrored: for fixed samples."""
    pixels = resized(pixels, cfg)
    if not crops(cfg):
        return pixels
    (width, height), (rows, columns) = cfg.crop, pixels.shape[:2]
    top, left = (rows - height) // 2, (columns - width) // 2
    return pixels[top : top + height, left : left + width]


def crops(cfg: DataConfig) -> bool:
    """Whether `data.preprocess` ends in a crop."""
    return cfg.preprocess.endswith("crop")


def in_words(cfg: DataConfig) -> str:
    """The sizes that `data.preprocess` gives to images, with the names of the sides."""
    if cfg.preprocess == "resize_and_crop":
        fixed = f"resized to {cfg.load.words}"
    elif cfg.preprocess.startswith("scale_width"):
        fixed = f"scaled to a width of {cfg.load.width} px"
    else:
        fixed = "of their own size"
    return fixed + (f", random crops {cfg.crop.words}" if crops(cfg) else "")
