"""Files of several images, written page by page: TIFF stacks with their axes, animated GIF, PNG and WebP."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from unpaired.core.errors import BadInput, shown
from unpaired.core.files import written_whole
from unpaired.imaging.codecs import encode
from unpaired.imaging.exif import Directory
from unpaired.imaging.kinds import ALIASES, MEDICAL, suffix_of_name
from unpaired.imaging.medical import encode_medical
from unpaired.imaging.metadata import EXIF, GPS, Metadata, png_chunk, png_chunks
from unpaired.imaging.pillow import to_pillow
from unpaired.imaging.pixels import DecodedImage, Layout, Pixels
from unpaired.imaging.tiff import tiff_layout

BIG = 2**32 - 2**25
"""Bytes of pixels from which a TIFF needs 64-bit offsets."""
DURATION = 100.0
"""Milliseconds of a frame where the source has none."""


def write_pages(pages: Iterator[DecodedImage], layout: Layout, path: Path) -> tuple[str, ...]:
    """Write a file of several images in the format of its suffix; beside it, then renamed.

    The `layout.count` pages are taken one at a time. A TIFF keeps the axes of ImageJ, OME and tifffile. `path` ends in
    .tif, .gif, .png, .webp, or in the suffix of a medical image that the pages come from. Returns, in words, what the
    pages have and the file cannot hold. Raises `BadInput` if the format cannot hold several images, or not these.
    """
    first = next(pages)
    origin = first.about.origin
    suffix = suffix_of_name(path) or (origin.suffixes[0] if origin else "")
    suffix = ALIASES.get(suffix, suffix)
    writers = {".tif": _write_tiff, ".gif": _write_gif, ".png": _write_png, ".webp": _write_webp}
    if suffix not in (*writers, *MEDICAL):
        raise BadInput(f"{suffix} holds one image, not {layout.count}; choose .tif, .webp, .gif or .png")
    lost = dict.fromkeys(first.about.dropped(suffix))
    if suffix == ".tif" and any(code in (first.about.exif or {}) for code in (EXIF, GPS)):
        lost["EXIF"] = None
    try:
        with written_whole(path, durable=False) as part:
            if suffix in MEDICAL:  # of all slices in memory: slope and intercept must hold the values of each
                part.write_bytes(encode_medical([first, *pages], suffix))
            else:
                writers[suffix](part, chain([first], pages), first, layout)
    except OSError as error:
        raise BadInput(shown(f"{path}: cannot be written ({error.strerror or error})")) from error
    return tuple(lost)


def _write_tiff(path: Path, pages: Iterator[DecodedImage], first: DecodedImage, layout: Layout) -> None:
    import tifffile

    size = layout.count * first.pixels.nbytes
    if layout.kind in ("plain", "animation") or first.alpha is not None or (layout.kind == "imagej" and size > BIG):
        with tifffile.TiffWriter(path, bigtiff=size > BIG) as tiff:
            for page in pages:
                pixels = page.layers
                flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
                tiff.write(flat, compression="zlib", contiguous=False, **tiff_layout(page), **_tags(page.about))
        return
    height, width, colors = first.pixels.shape
    deep_imagej = layout.kind == "imagej" and first.pixels.dtype != np.uint8
    by_page = colors > 1 and (layout.by_page or colors != 3 or deep_imagej)
    shape = (*layout.sizes, colors, height, width) if by_page else (*layout.sizes, height, width)
    shape = (*shape, colors) if colors > 1 and not by_page else shape
    axes = layout.axes + ("CYX" if by_page else "YXS" if colors > 1 else "YX")
    options: dict[str, Any] = _tags(first.about) | {"metadata": {"axes": axes, **layout.words}}
    options["extratags"] = [tag for tag in options["extratags"] if tag[0] != 270]  # the description holds the axes
    options |= {"imagej": layout.kind == "imagej", "ome": layout.kind == "ome", "bigtiff": size > BIG}
    options |= {"shape": shape, "dtype": first.pixels.dtype, "photometric": "rgb" if axes[-1] == "S" else "minisblack"}
    tifffile.imwrite(path, _planes(pages, by_page), compression=None if options["imagej"] else "zlib", **options)


def _planes(pages: Iterator[DecodedImage], by_page: bool) -> Iterator[Pixels]:
    for page in pages:
        pixels = np.ascontiguousarray(page.pixels)
        if by_page:
            yield from (np.ascontiguousarray(pixels[..., k]) for k in range(pixels.shape[2]))
        else:
            yield pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _tags(about: Metadata) -> dict[str, Any]:
    """Arguments of tifffile's writer; directories within EXIF are kept in files of one image alone."""
    words: Directory = {code: item for code, item in (about.exif or {}).items() if code not in (EXIF, GPS)}
    return replace(about, exif=words or None).for_tiff()


def _eight_bits(page: DecodedImage, suffix: str) -> Pixels:
    """Colours and alpha for an animation; raises `BadInput` for more than 8 bits, or neither gray nor RGB."""
    if page.pixels.dtype != np.uint8 or page.pixels.shape[2] not in (1, 3):
        kind = f"{page.pixels.shape[2]} channels of {page.pixels.dtype}"
        raise BadInput(f"an animated {suffix} cannot hold {kind}; choose .tif")
    return np.ascontiguousarray(page.layers)


def _write_gif(path: Path, pages: Iterator[DecodedImage], first: DecodedImage, layout: Layout) -> None:
    """Each frame has the palette of its own colours; Pillow's own writer would keep all frames in memory."""
    height, width, _ = first.pixels.shape
    with path.open("wb") as file:
        file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0))
        if layout.loop != 1:
            file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", layout.loop, 0))
        for page in pages:
            _write_gif_frame(file, page)
        file.write(b";")


def _write_gif_frame(file: BinaryIO, page: DecodedImage) -> None:
    from PIL.GifImagePlugin import getdata

    image = to_pillow(_eight_bits(DecodedImage(page.pixels), ".gif"))
    options: dict[str, Any] = {"duration": page.about.duration or DURATION, "include_color_table": True}
    if page.alpha is not None:
        clear = page.alpha[..., 0] < 128  # a pixel of a GIF is opaque or clear
        image = image.convert("RGB").quantize(255, Image.Quantize.MEDIANCUT)
        image.paste(255, mask=Image.fromarray(clear))
        options |= {"transparency": 255, "disposal": 2}  # frames are whole: each replaces the one before
    elif image.mode == "RGB":
        image = image.quantize(256, Image.Quantize.MEDIANCUT)
    for chunk in getdata(image, **options):
        file.write(chunk)


def _write_png(path: Path, pages: Iterator[DecodedImage], first: DecodedImage, layout: Layout) -> None:
    """Each frame is a whole image; Pillow's own writer would keep all frames in memory."""
    number = count()
    with path.open("wb") as file:
        for place, page in enumerate(pages):
            _eight_bits(page, ".png")
            chunks = list(png_chunks(encode(_with_alpha(page, first), ".png")))
            if place == 0:
                file.write(b"\x89PNG\r\n\x1a\n")
                for kind, chunk in chunks:
                    if kind not in (b"IDAT", b"IEND"):
                        file.write(chunk)
                    if kind == b"IHDR":
                        file.write(png_chunk(b"acTL", struct.pack(">II", layout.count, layout.loop)))
            height, width, _ = page.pixels.shape
            delay = round(page.about.duration or DURATION)
            control = struct.pack(">IIIIIHHBB", next(number), width, height, 0, 0, min(delay, 65_535), 1000, 0, 0)
            file.write(png_chunk(b"fcTL", control))
            for chunk in (chunk for kind, chunk in chunks if kind == b"IDAT"):
                if place == 0:
                    file.write(chunk)
                else:
                    file.write(png_chunk(b"fdAT", struct.pack(">I", next(number)) + chunk[8:-4]))
        file.write(png_chunk(b"IEND", b""))


def _with_alpha(page: DecodedImage, first: DecodedImage) -> DecodedImage:
    """A frame with the channels of the first, which those of an animated PNG share."""
    if page.alpha is None and first.alpha is not None:
        return replace(page, alpha=np.full((*page.pixels.shape[:2], 1), 255, np.uint8))
    if page.alpha is not None and first.alpha is None:
        raise BadInput("an animated .png whose first frame is opaque has no transparent ones; choose .webp or .gif")
    return page


def _write_webp(path: Path, pages: Iterator[DecodedImage], first: DecodedImage, layout: Layout) -> None:
    frames = _Frames(pages, layout.count)
    beside = first.about.for_pillow(".webp")
    with path.open("wb") as file:
        frames.save(file, "WEBP", save_all=True, lossless=True, duration=frames.durations, loop=layout.loop, **beside)


class _Frames(Image.Image):
    """Pages as an animation that Pillow's writer goes through; it holds one frame."""

    def __init__(self, pages: Iterator[DecodedImage], count: int) -> None:
        super().__init__()
        self.pages, self.n_frames, self.is_animated = pages, count, True
        self.durations: list[float] = []
        """Of the frames so far, milliseconds."""
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Load the next frame; Pillow's writer asks for each in turn, and for the first again at the end."""
        if frame != len(self.durations):
            return
        page = next(self.pages)
        image = to_pillow(_eight_bits(page, ".webp"))
        self.im, self._mode, self._size = image.im, image.mode, image.size
        self.durations.append(page.about.duration or DURATION)
