"""Image files of every format, opened by content: one image, a stack, a medical volume or an animation.

One image is in memory at a time. `unpaired.imaging.page_writers` writes files of several images.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from unpaired.imaging.codecs import open_deep_png, open_ppm
from unpaired.imaging.exif import Bytes
from unpaired.imaging.kinds import HEAD, MEDICAL, suffix_of
from unpaired.imaging.medical import open_medical
from unpaired.imaging.pillow import orientation_of, pillow_image, pillow_reader, quieten
from unpaired.imaging.pixels import (
    DAMAGE,
    MAX_PAGES,
    MAX_PIXELS,
    TURNED,
    DecodedImage,
    Layout,
    Pages,
    one_line_errors,
)
from unpaired.imaging.tiff import tiff_image
from unpaired.imaging.tiff_pages import open_tiff, tiff_stack

IMAGEJ_WORDS = ("unit", "spacing", "finterval", "fps", "frameinterval", "Info", "ROI", "Overlays")
"""What ImageJ says of a stack that stays true of its translation; not its contrast and labels of channels."""
OME_WORDS = tuple(f"PhysicalSize{axis}{part}" for axis in "XYZ" for part in ("", "Unit"))
OME_WORDS = (*OME_WORDS, "TimeIncrement", "TimeIncrementUnit")


class Header(NamedTuple):
    """Size and number of images of a file, without its pixels."""

    height: int
    """As read; of a TIFF, and of a PNG whose EXIF comes last or that has 16 bits, before it is turned."""
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
            pages = held.enter_context(open_images(held.enter_context(path.open("rb")), max_pixels, words=True))

        def read(number: int) -> DecodedImage:
            with one_line_errors(path):
                return pages.read(number)

        yield replace(pages, read=read)


@contextmanager
def open_images(file: BinaryIO, max_pixels: int, words: bool = False) -> Iterator[Pages]:
    """The images of an open file, with what a stack says of its scale if `words` are wanted.

    Raises `BadInput` for an unknown format, or one of DAMAGE.
    """
    quieten()
    head = file.read(HEAD)
    suffix = suffix_of(head)
    file.seek(0)
    if suffix == ".tif":
        with open_tiff(file) as tiff, _content(file) as data:
            yield _stack(tiff, data, max_pixels, words)
    elif suffix in MEDICAL:
        yield open_medical(file, suffix, max_pixels)
    elif suffix == ".ppm":
        with _content(file) as data:
            yield open_ppm(data, max_pixels)
    elif suffix == ".png" and head[24:25] == b"\x10":  # IHDR: width, height, bit depth
        with _content(file) as data:
            yield open_deep_png(data, max_pixels)
    else:
        with pillow_reader(suffix)(file) as image:
            yield _frames(image, max_pixels)


@contextmanager
def _content(file: BinaryIO) -> Iterator[Bytes]:
    if isinstance(file, io.BytesIO):
        yield file.getvalue()
        return
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield data
    finally:
        with suppress(BufferError):  # pixels that are views of it close it when they go
            data.close()


def _stack(tiff: Any, data: Bytes, max_pixels: int, words: bool) -> Pages:
    stack, page = tiff_stack(tiff), tiff.pages.first.aspage()
    layout = replace(stack.layout, words=_words(tiff, stack.layout.kind)) if words else stack.layout

    def read(number: int) -> DecodedImage:
        image = tiff_image(tiff, stack, number, data, max_pixels)
        if layout.count > 1 or not stack.left_out:
            return image
        return replace(image, about=replace(image.about, lost=(*image.about.lost, smaller_pages(stack.left_out))))

    return Pages(layout, page.imagelength, page.imagewidth, read, stack.left_out)


def smaller_pages(count: int) -> str:
    """In words, the pages that are not translated."""
    return f"pages of another size ({count})"


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
        return replace(decoded, about=replace(decoded.about, duration=float(_number(image, "duration"))))

    once = "loop" not in image.info and image.format == "GIF"
    layout = Layout(count, "animation", loop=1 if once else int(_number(image, "loop")))
    turn = orientation_of(image) if "exif" in image.info else 1  # else Pillow would decode a PNG to look behind it
    across, down = image.size[::-1] if turn in TURNED else image.size
    return Pages(layout, down, across, read)


def _number(image: Any, key: str) -> float:
    """A number that Pillow found; 0 without one, and for a text of this name in a PNG."""
    value = image.info.get(key)
    return value if isinstance(value, int | float) else 0
