"""The images of a TIFF: which of its pages make one image, and which images make a stack.

ImageJ, OME and tifffile keep channels, depths and times as pages and describe them in words. In other files each page
is an image.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput
from unpaired.imaging.pixels import MAX_PAGES, Layout

MAX_PLANES, MAX_TAGS, MAX_LEVELS = 4096, 4096, 32
"""Pages of a stack with described axes; tags of a page that tifffile reads; directories below a page.

In longer stacks each page is an image. A pyramid of twenty thousand pixels has eight directories.
"""


@dataclass(frozen=True)
class TiffStack:
    """The images of an open TIFF."""

    layout: Layout
    planes: NDArray[np.intp]
    """(images, channels): the pages of each image; one page where it holds all channels."""
    left_out: int = 0
    """Pages of other sizes, such as previews and pyramid levels."""
    series: Any = None
    """tifffile's, where axes are described."""

    def page(self, tiff: Any, number: int) -> Any:
        """The page whose tags describe an image."""
        return (tiff.pages.first if self.series else tiff.pages[int(self.planes[number, 0])]).aspage()

    def read(self, tiff: Any, number: int) -> NDArray[Any]:
        """Samples of an image as stored, (channels, h, w) of channels as pages; raises `BadInput` for a short file."""
        if self.series is None:
            return tiff.pages[int(self.planes[number, 0])].asarray()
        layers = [self._plane(tiff, int(index)) for index in self.planes[number]]
        return np.stack(layers) if len(layers) > 1 else layers[0]

    def _plane(self, tiff: Any, index: int) -> NDArray[Any]:
        series = self.series
        if series.dataoffset is None or self.planes.size == 1:
            return series.pages[index].asarray()
        shape = series.shape[len(series.axes) - len(_plane_axes(series.axes)) :]
        dtype = np.dtype(series.dtype).newbyteorder(tiff.byteorder)
        size = math.prod(shape) * dtype.itemsize
        tiff.filehandle.seek(series.dataoffset + index * size)
        data = tiff.filehandle.read(size)
        if len(data) < size:
            raise BadInput("damaged (a TIFF without all of its pixels); replace or remove it")
        return np.frombuffer(data, dtype).reshape(shape)


def open_tiff(file: Path | BinaryIO) -> Any:
    """A TIFF by tifffile; the other files that an OME-TIFF may name are not opened."""
    import tifffile

    return tifffile.TiffFile(file, _multifile=False)


def tiff_stack(tiff: Any) -> TiffStack:
    """The images of a TIFF opened by tifffile; raises `BadInput` if its pages form a circle, or some are missing."""
    indices, pages = _pages_of_one_size(tiff)
    series = tiff.series[0] if _is_described(tiff) else None
    stack = _described(series, len(indices), pages) if series is not None else None
    if stack is None:
        count = len(indices)
        layout = Layout(count, sizes=(count,))
        stack = TiffStack(layout, np.array(indices, np.intp)[:, None], pages - count)
    if tiff.is_imagej and stack.planes.size < int((tiff.imagej_metadata or {}).get("images", 1)):
        raise BadInput("damaged (a TIFF without all of its pixels); replace or remove it")
    return stack


def _described(series: Any, alike: int, pages: int) -> TiffStack | None:
    """The stack of tifffile's first series; None where that leaves out some of the `alike` pages of its size."""
    plane = _plane_axes(series.axes)
    if series.kind not in ("shaped", "imagej", "ome") or not plane:
        return None
    leading = series.axes.removesuffix(plane)
    sizes = tuple(int(size) for size in series.shape[: len(leading)])
    planes = np.arange(math.prod(sizes), dtype=np.intp).reshape(sizes)
    absent = series.dataoffset is None and (len(series.pages) != planes.size or None in list(series.pages))
    if planes.size < alike or absent:  # of an OME in several files, those elsewhere are not read
        return None
    if "C" in leading and "S" not in plane:
        place = leading.index("C")
        planes = np.moveaxis(planes, place, -1).reshape(-1, sizes[place])
        leading, sizes = leading.replace("C", "", 1), (*sizes[:place], *sizes[place + 1 :])
    left_out = max(0, pages - planes.size) if series.kind != "imagej" else 0
    planes = planes.reshape(math.prod(sizes), -1)
    layout = Layout(len(planes), series.kind, leading, sizes, by_page=planes.shape[1] > 1)
    return TiffStack(layout, planes, left_out, series)


def _plane_axes(axes: str) -> str:
    """The axes of one page."""
    return next((plane for plane in ("YXS", "SYX", "YX") if axes.endswith(plane)), "")


def _pages_of_one_size(tiff: Any) -> tuple[list[int], int]:
    """The pages of the first page's size, other ones being previews; and the number of all."""
    first, seen, found = tiff.pages.first, set[int](), []
    for at, count, tags in _chain(tiff):
        if at in seen or len(seen) == MAX_PAGES:
            break
        seen.add(at)
        if count > MAX_TAGS:
            break
        if _size_in(tiff.tiff, tags) == (first.imagewidth, first.imagelength):
            found.append(len(seen) - 1)
    return found or [0], max(1, len(seen))


def _chain(tiff: Any) -> Iterator[tuple[int, int, bytes]]:
    """The offset of each page, the number of its tags and the first `MAX_TAGS` of them; a circle has no end."""
    form, file, at = tiff.tiff, tiff.filehandle, tiff.pages.first.offset
    while at:
        if at + form.tagnosize > file.size:
            raise BadInput("damaged (a TIFF without all of its pages); replace or remove it")
        file.seek(at)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        tags, after = file.read(min(count, MAX_TAGS) * form.tagsize), file.read(form.offsetsize)
        yield at, count, tags
        at = struct.unpack(form.offsetformat, after)[0] if len(after) == form.offsetsize else 0


def _size_in(form: Any, tags: bytes) -> tuple[int, int]:
    """Width and height by the tags of a page."""
    sides = {256: 0, 257: 0}
    for start in range(0, len(tags) - form.tagsize + 1, form.tagsize):
        code, kind = struct.unpack_from(form.byteorder + "HH", tags, start)
        if code in sides and kind in (3, 4):
            value = start + form.tagsize - form.offsetsize
            (sides[code],) = struct.unpack_from(form.byteorder + ("H" if kind == 3 else "I"), tags, value)
    return sides[256], sides[257]


def _is_described(tiff: Any) -> bool:
    """Whether ImageJ, tifffile or OME describes the pages, and they are few.

    tifffile would go through all pages, however many and round any circle, and through all directories below each.
    """
    if not (tiff.is_imagej or tiff.is_shaped or tiff.is_ome):
        return False
    seen = set[int]()
    for at, count, tags in _chain(tiff):
        if at in seen:
            raise BadInput("damaged (the pages of the TIFF lead in a circle); replace or remove it")
        seen.add(at)
        if len(seen) > MAX_PLANES or count > MAX_TAGS or _directories(tiff.tiff, tags) > MAX_LEVELS:
            return False
    return True


def _directories(form: Any, tags: bytes) -> int:
    """Number of directories below a page, by its tag SubIFDs (330)."""
    entries = struct.iter_unpack(form.tagheaderformat, tags[: len(tags) // form.tagsize * form.tagsize])
    return max((count for code, _, count, _ in entries if code == 330), default=0)
