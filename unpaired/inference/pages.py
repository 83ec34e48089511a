"""The number of images in a file: translating the first page of a stack alone would lose the others in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.codecs import DAMAGE, count_pages, has_stack, suffix_of


def page_count(path: Path) -> int:
    """Pages of a TIFF stack or frames of an animated WebP or PNG; 1 for every other file and for damaged ones.

    Channels kept as pages are one image. Of a TIFF only the first series counts, which leaves out pyramid levels.
    """
    try:
        with path.open("rb") as file:
            suffix = suffix_of(file.read(16))
        if suffix == ".tif":
            return _tiff_pages(path)
        if suffix in (".webp", ".png"):
            with Image.open(path, formats=("WEBP", "PNG")) as image:
                return int(getattr(image, "n_frames", 1))
    except DAMAGE:  # the reader of the image itself reports the damage
        return 1
    return 1


def require_one_page(path: Path) -> None:
    """Refuse a file of several pages or frames.

    Raises:
        BadInput: it holds more than one.
    """
    if path.is_file() and (pages := page_count(path)) > 1:
        raise BadInput(f"holds {pages} pages or frames; only single images are translated, save each as a file")


def _tiff_pages(path: Path) -> int:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        if tiff.is_imagej:  # which writes a large stack behind a single page
            channels = int((tiff.imagej_metadata or {}).get("channels", 1))
            return max(1, count_pages(tiff) // max(1, channels))
        if not has_stack(tiff):  # tifffile would follow all pages, also in a circle
            return count_pages(tiff)
        series = tiff.series[0]
        return int(np.prod([n for letter, n in zip(series.axes, series.shape, strict=True) if letter not in "CSYX"]))
