"""Image files of every format, opened by content: one image, a stack, a medical volume or an animation.

One image is in memory at a time. `unpaired.imaging.page_writers` writes files of several images.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from unpaired.imaging.codecs import open_deep_png, open_ppm
from unpaired.imaging.exif import Bytes
from unpaired.imaging.kinds import HEAD, MEDICAL, suffix_of
from unpaired.imaging.medical import open_medical
from unpaired.imaging.pillow import pillow_image, pillow_reader, quieten
from unpaired.imaging.pixels import DAMAGE, MAX_PAGES, MAX_PIXELS, DecodedImage, Layout, Pages, one_line_errors
from unpaired.imaging.tiff import tiff_image
from unpaired.imaging.tiff_pages import open_tiff, tiff_stack

IMAGEJ_WORDS = ("unit", "spacing", "finterval", "fps", "frameinterval", "Info", "ROI", "Overlays")
"""What ImageJ says of a stack that stays true of its translation; not its contrast and labels of channels."""
OME_WORDS = tuple(f"PhysicalSize{axis}{part}" for axis in "XYZ" for part in ("", "Unit"))
OME_WORDS = (*OME_WORDS, "TimeIncrement", "TimeIncrementUnit")


class Header(NamedTuple):
    """Size and number of images of a file, without its pixels."""

    height: int
    """Before the image is turned."""
    width: int
    pages: int
    """Images of a stack or frames of an animation."""


def read_header(path: Path) -> Header:
    """Size and pages by a file's header; zeros where they cannot be read, as the reader of the image will report."""
    if path.is_file():  # opening a pipe would wait for its other end
        try:
            with path.open("rb") as file, open_images(file, MAX_PIXELS) as pages:
                return Header(pages.height, pages.width, pages.layout.count)
        except DAMAGE:  # BadInput is one of them, too
            pass
    return Header(0, 0, 1)


@contextmanager
def open_pages(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Pages]:
    """The images of a file, read while it is open; raises `BadInput`, here and in `Pages.read`, that names the file."""
    with ExitStack() as held:
        with one_line_errors(path):
            pages = held.enter_context(open_images(held.enter_context(path.open("rb")), max_pixels))

        def read(number: int) -> DecodedImage:
            with one_line_errors(path):
                return pages.read(number)

        yield replace(pages, read=read)


@contextmanager
def open_images(file: BinaryIO, max_pixels: int) -> Iterator[Pages]:
    """The images of an open file; raises `BadInput` for an unknown format, or one of DAMAGE."""
    quieten()
    head = file.read(HEAD)
    suffix = suffix_of(head)
    file.seek(0)
    if suffix == ".tif":
        with open_tiff(file) as tiff:
            yield _stack(tiff, _content(file), max_pixels)
    elif suffix in MEDICAL:
        yield open_medical(file, suffix, max_pixels)
    elif suffix == ".ppm":
        yield open_ppm(_content(file), max_pixels)
    elif suffix == ".png" and head[24:25] == b"\x10":  # IHDR: width, height, bit depth
        yield open_deep_png(_content(file), max_pixels)
    else:
        with pillow_reader(suffix)(file) as image:
            yield _frames(image, max_pixels)


def _content(file: BinaryIO) -> Bytes:
    return file.getvalue() if isinstance(file, io.BytesIO) else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _stack(tiff: Any, data: Bytes, max_pixels: int) -> Pages:
    stack, page = tiff_stack(tiff), tiff.pages.first.aspage()
    words = _words(tiff, stack.layout.kind)

    def read(number: int) -> DecodedImage:
        return tiff_image(tiff, stack, number, data, max_pixels)

    return Pages(replace(stack.layout, words=words), page.imagelength, page.imagewidth, read, stack.left_out)


def _words(tiff: Any, kind: str) -> dict[str, Any]:
    """Scale in space and time, as ImageJ or OME has it."""
    if kind == "imagej":
        found = tiff.imagej_metadata or {}
        return {key: found[key] for key in IMAGEJ_WORDS if key in found}
    if kind != "ome":
        return {}
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    image = image[0] if isinstance(image, list) else image
    words = {key: image["Pixels"][key] for key in OME_WORDS if key in image["Pixels"]}
    return words | ({"Name": str(image["Name"])} if "Name" in image else {})


def _frames(image: Any, max_pixels: int) -> Pages:
    first = int(getattr(image, "default_image", False))  # an animated PNG may have a still image before its frames
    count = max(1, min(getattr(image, "n_frames", 1), MAX_PAGES) - first)

    def read(number: int) -> DecodedImage:
        image.seek(first + number)
        decoded = pillow_image(image, max_pixels)
        duration = float(image.info.get("duration") or 0)
        return replace(decoded, about=replace(decoded.about, duration=duration))

    once = "loop" not in image.info and image.format == "GIF"
    layout = Layout(count, "animation", loop=1 if once else int(image.info.get("loop") or 0))
    return Pages(layout, image.height, image.width, read)
