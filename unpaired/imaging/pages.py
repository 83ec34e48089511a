"""Files of several images: stacks of a TIFF, medical volumes, frames of an animated GIF, PNG or WebP.

A page decodes to a `DecodedImage`; `unpaired.imaging.page_writers` writes such files. One page is in memory at a time.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from unpaired.core.errors import BadInput
from unpaired.imaging.codecs import (
    MAX_PIXELS,
    MEDICAL,
    DecodedImage,
    first_frame,
    frame_count,
    open_medical,
    pillow_image,
    pillow_reader,
    suffix_of,
    tiff_image,
)
from unpaired.imaging.images import one_line_errors
from unpaired.imaging.kinds import HEAD
from unpaired.imaging.tiff_pages import Kind, open_tiff, tiff_stack

IMAGEJ_WORDS = ("unit", "spacing", "finterval", "fps", "frameinterval", "Info", "ROI", "Overlays")
"""What ImageJ says of a stack that stays true of its translation; not its contrast and labels of channels."""
OME_WORDS = tuple(f"PhysicalSize{axis}{part}" for axis in "XYZ" for part in ("", "Unit"))
OME_WORDS = (*OME_WORDS, "TimeIncrement", "TimeIncrementUnit")


@dataclass(frozen=True)
class Layout:
    """How the images of a file belong together."""

    count: int
    kind: Kind | Literal["animation"]
    axes: str = ""
    """Of the images, slowest first, by tifffile's letters: "TZ"; empty where none are described."""
    sizes: tuple[int, ...] = ()
    """Images along each axis."""
    by_page: bool = False
    """Whether channels are pages."""
    words: Mapping[str, Any] = field(default_factory=dict)
    """Scale in space and time, as ImageJ or OME has it."""
    loop: int = 0
    """Times that an animation is shown; 0 for ever."""


@dataclass(frozen=True)
class Pages:
    """The images of an open file."""

    layout: Layout
    left_out: int
    """Pages of other sizes, such as previews."""
    read: Callable[[int], DecodedImage]
    """The image of a number from 0; raises `BadInput`, which names the file."""

    def __iter__(self) -> Iterator[DecodedImage]:
        return map(self.read, range(self.layout.count))


@contextmanager
def open_pages(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Pages]:
    """The images of a file, read while it is open.

    Raises:
        BadInput: of no known format, or damaged.
    """
    with ExitStack() as held:
        with one_line_errors(path):
            file = held.enter_context(path.open("rb"))
            head = file.read(HEAD)
            suffix = suffix_of(head)
            file.seek(0)
            if suffix == ".tif":
                data = held.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                pages = _stack(held.enter_context(open_tiff(file)), data, max_pixels)
            elif suffix in MEDICAL:
                slices = open_medical(file, suffix, max_pixels)
                pages = Pages(Layout(slices.origin.shape[0], "plain"), 0, slices.read)
            else:
                pages = _frames(held.enter_context(pillow_reader(suffix)(file)), max_pixels)
                if suffix == ".png" and head[24:25] == b"\x10" and pages.layout.count > 1:  # Pillow reads 8 of 16 bits
                    raise BadInput("animated PNG of 16 bits; save it with 8 bits, or each frame as a file")

        def read(number: int) -> DecodedImage:
            with one_line_errors(path):
                return pages.read(number)

        yield replace(pages, read=read)


def _stack(tiff: Any, data: mmap.mmap, max_pixels: int) -> Pages:
    stack = tiff_stack(tiff)
    words = {"imagej": _imagej_words, "ome": _ome_words}.get(stack.kind, lambda tiff: {})(tiff)
    layout = Layout(stack.count, stack.kind, stack.axes, stack.sizes, stack.channels > 1, words)
    return Pages(layout, stack.left_out, lambda number: tiff_image(tiff, stack, number, data, max_pixels))


def _imagej_words(tiff: Any) -> dict[str, Any]:
    found = tiff.imagej_metadata or {}
    return {key: found[key] for key in IMAGEJ_WORDS if key in found}


def _ome_words(tiff: Any) -> dict[str, Any]:
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    image = image[0] if isinstance(image, list) else image
    words = {key: image["Pixels"][key] for key in OME_WORDS if key in image["Pixels"]}
    return words | ({"Name": str(image["Name"])} if "Name" in image else {})


def _frames(image: Any, max_pixels: int) -> Pages:
    first = first_frame(image)

    def read(number: int) -> DecodedImage:
        image.seek(first + number)
        decoded = pillow_image(image, max_pixels)
        duration = float(image.info.get("duration") or 0)
        return replace(decoded, labels=None, about=replace(decoded.about, duration=duration))

    loop = image.info.get("loop")
    once = loop is None and image.format == "GIF"
    return Pages(Layout(frame_count(image), "animation", loop=1 if once else int(loop or 0)), 0, read)
