"""Translating a part of an image: outside of a mask every pixel stays what it was, bit for bit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput
from unpaired.data.sources.folder import image_files
from unpaired.imaging.images import DecodedImage, Pixels, full_scale, with_channels
from unpaired.imaging.kinds import without_suffix
from unpaired.imaging.pages import open_pages, read_header
from unpaired.imaging.values import mask_of, read_mask, restored

Mask = NDArray[np.bool_]
"""(h, w): true where the image is translated."""
Weight = NDArray[np.float32]
"""(h, w): 1 where an image is translated, 0 where it stays, in proportion between."""


def read_selecting(path: Path, name: str) -> Mask:
    """What is lighter than half in an image, or any label but 0; see `unpaired.imaging.values.read_mask`.

    A warning names the image, `name`, of which the mask selects nothing. Raises BadInput if it cannot be read.
    """
    mask = _selected(read_mask(path))
    if not mask.any():
        print(f"{path}: this mask selects nothing, so {name} stays as it is", file=sys.stderr)
    return mask


def page_weights(mask: Path | None, name: str, pages: int, feather: int) -> Callable[[int], Weight | None]:
    """The weight of each page of a file: of a mask of one page the same for all, else that of the page's number.

    Raises BadInput for a mask of another number of pages.
    """
    if mask is None:
        return lambda _: None
    count = read_header(mask).pages
    if count == 1:
        weight = weights(read_selecting(mask, name), feather)
        return lambda _: weight
    if count != pages:
        raise BadInput(f"{mask}: has {count} pages, {name} {pages}; give one page, or as many")

    def of_page(number: int) -> Weight:
        with open_pages(mask) as opened:
            return weights(_selected(mask_of(opened.read(number), mask)), feather)

    return of_page


def _selected(mask: Pixels) -> Mask:
    return mask[..., 0] > full_scale(mask.dtype) / 2


def mask_files(masks: Path, sources: list[Path], root: Path) -> list[Path | None]:
    """The mask of each source: `masks` itself, or the image under it with the same name but for the suffix.

    A folder `masks` repeats the tree under `root`, or has the files' names alone. Raises BadInput if it is neither.
    """
    if masks.is_file():
        return [masks] * len(sources)
    if not masks.is_dir():
        raise BadInput(f"{masks}: expected a mask image, or a folder of masks named as the images; found none")
    there = {without_suffix(file.relative_to(masks)): file for file in image_files(masks)}
    root = root if root.is_dir() else root.parent
    names = [path.relative_to(root) if path.is_relative_to(root) else Path(path.name) for path in sources]
    return [there.get(stem, there.get(Path(stem.name))) for stem in map(without_suffix, names)]


def weights(mask: Mask, feather: int) -> Weight:
    """0 outside, 1 inside, linear over `feather` pixels from the outside; the image's border is no edge of the mask."""
    reach = feather + 1
    square = np.where(mask, np.float32(reach**2), np.float32(0))
    for axis in (0, 1):  # squared Euclidean distances: first along columns, then the least of d^2 + that along rows
        padded = np.pad(square, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], constant_values=reach**2)
        n = square.shape[axis]
        for away in range(-reach, reach + 1):
            shifted = padded.take(range(reach + away, reach + away + n), axis=axis)
            square = np.minimum(square, shifted + np.float32(away**2))
    return np.minimum(np.sqrt(square) / reach, 1).astype(np.float32)


def masked(original: DecodedImage, translated: DecodedImage, weight: Weight | None) -> DecodedImage:
    """The translation where the weight is 1 (None: everywhere), the original where it is 0, in proportion between.

    Raises BadInput for sizes that differ, or an original whose channels or type do not fit the translation's.
    """
    if weight is None:
        return translated
    height, width, channels = translated.pixels.shape
    if weight.shape != (height, width):
        raise BadInput(f"the mask has {weight.shape[1]}x{weight.shape[0]} pixels, the image {width}x{height}")
    if original.pixels.shape[2] not in (1, channels):
        have = f"{original.pixels.shape[2]} channels into {channels}"
        raise BadInput(f"a mask keeps pixels as they are, but this model turns {have}")
    if original.pixels.dtype != translated.pixels.dtype:
        turns = f"{original.pixels.dtype} into {translated.pixels.dtype}, values of another kind"
        raise BadInput(f"a mask keeps pixels as they are, but this model turns {turns}")
    pixels = blended_pixels(with_channels(original.pixels, channels), translated.pixels, weight)
    return replace(translated, pixels=restored(pixels, original.nodata)[0])


def blended_pixels(original: Pixels, translated: Pixels, weight: Weight) -> Pixels:
    """`masked` for pixels of one shape, (h, w, c)."""
    part = weight[..., None]
    mixed = original + part * (translated.astype(np.float32) - original)
    mixed = mixed if original.dtype.kind == "f" else np.rint(mixed)
    return np.where(part == 0, original, np.where(part == 1, translated, mixed.astype(original.dtype)))
