"""Labels of the Earth, computed from its rasters, to translate labels and photos as on Cityscapes.

Sea, lake and land come from the land/sea/lake mask. Sea and lakes are shallow where ETOPO1 paints them pale. Land is
ice where Blue Marble is white, forest where it is dark, and dry land elsewhere. The commonest label of the 5 x 5 pixels
around each pixel wins, which leaves no specks. The colours say nothing of what the classes look like, as those of
Cityscapes do not: with natural ones whatever stays near its input would look like a translation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

PALETTE: dict[str, tuple[int, int, int]] = {
    "deep sea": (128, 64, 128),
    "shallow water": (244, 35, 232),
    "forest": (190, 153, 153),
    "dry land": (250, 170, 30),
    "ice": (107, 142, 35),
}
"""Class names, in the order of their numbers, and their colours: the first of Cityscapes' palette, in its order, that
are at least 100 levels apart (road, sidewalk, fence, traffic light, vegetation)."""
LAND, LAKE = 1, 2
"""Numbers of the land/sea/lake mask."""
SHALLOW_LUMA = 150
"""ETOPO1's sea is shallow from this luminance up, of 255."""
ICE_LEAST = 150
"""Blue Marble's land is ice where its darkest channel has at least this level, which no desert reaches in blue."""
FOREST_LUMA = 72
"""Blue Marble's land is forest below this luminance."""
RADIUS = 2
"""Pixels to each side of one that vote for its label."""


def earth_labels(mask: NDArray[np.uint8], satellite: Image.Image, elevation: Image.Image) -> NDArray[np.uint8]:
    """Numbers of `PALETTE`'s classes, (h, w), by the rule at the top of this file.

    Args:
        mask: 0 sea, 1 land, 2 lake.
        satellite: Blue Marble in RGB, of the mask's size.
        elevation: ETOPO1 in RGB, of the mask's size.
    """
    number = {name: k for k, name in enumerate(PALETTE)}
    brightness, depth = (np.asarray(image.convert("L")) for image in (satellite, elevation))
    white = np.asarray(satellite).min(axis=2) >= ICE_LEAST
    water = np.where((mask == LAKE) | (depth >= SHALLOW_LUMA), number["shallow water"], number["deep sea"])
    land = np.where(brightness < FOREST_LUMA, number["forest"], number["dry land"])
    land = np.where(white, number["ice"], land)
    labels = np.where(mask == LAND, land, water)
    return commonest(labels, len(PALETTE), lambda image: image.filter(ImageFilter.BoxBlur(RADIUS)))


def painted(labels: NDArray[np.uint8]) -> Image.Image:
    """The label image: every class in its colour."""
    return Image.fromarray(np.array(list(PALETTE.values()), np.uint8)[labels])


def commonest(
    labels: NDArray[np.integer], classes: int, blurred: Callable[[Image.Image], Image.Image]
) -> NDArray[np.uint8]:
    """The class with the largest share of each pixel of a blurred or smaller image; the first of equals."""
    shares = [np.asarray(blurred(Image.fromarray(np.uint8(255) * (labels == k)))) for k in range(classes)]
    return np.argmax(np.stack(shares), axis=0).astype(np.uint8)
