"""An image of any size from file to file, in memory that does not grow with it, going on after whatever stopped it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unpaired.core.device import ieee_fp32
from unpaired.core.errors import BadInput, Stopped, naming
from unpaired.core.files import file_sha256, written_whole
from unpaired.core.progress import Advance, progress
from unpaired.imaging.codecs import MAX_PIXELS, NoData, full_scale, tiff_layout, without_data
from unpaired.imaging.images import DecodedImage, Images, Pixels, to_tensor, with_channels, write_image
from unpaired.imaging.metadata import Metadata
from unpaired.imaging.page_writers import BIG
from unpaired.imaging.values import clipped_words, converted, restored
from unpaired.inference.masks import Weight, blended_pixels, read_selecting, weights
from unpaired.inference.nodata import Gaps, filled, find_gaps, share_outside
from unpaired.inference.scratch import Scratch, require_room, work_folder
from unpaired.inference.streams import IN_MEMORY, Stream, open_stream
from unpaired.inference.tiling import TILE, Tiling, in_tiles, spread
from unpaired.inference.translator import Translator
from unpaired.models import Generator
from unpaired.models.spatial import Box

FORMAT = 2
"""Version of the work folders; others are begun anew."""
LEAST_TILE = 64
"""Smaller tiles would be all border."""
TIFF_TILE = (256, 256)
BAND = 2**21
"""Pixels that are looked at together."""
TiffSuffixes = (".tif", ".tiff")
Statistics = Literal["exact", "sampled"]
"""Of the whole image, or of parts that are spread over it."""


@dataclass(frozen=True)
class Canvas:
    """Where the pixels of one image lie: as arrays of a scratch folder, opened for one box at a time."""

    scratch: Scratch
    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype

    def open(self) -> NDArray:
        """The whole array, on disk."""
        return self.scratch.open(self.name, self.shape, self.dtype)

    def read(self, box: Box, channels: slice = slice(None)) -> Pixels:
        """A part in memory."""
        return np.array(self.open()[box[0][0] : box[0][1], box[1][0] : box[1][1], channels])

    def write(self, box: Box, pixels: Pixels) -> None:
        """A part from memory."""
        self.open()[box[0][0] : box[0][1], box[1][0] : box[1][1]] = pixels


def translate_huge(
    translator: Translator,
    source: Path,
    target: Path,
    *,
    tile: int = TILE,
    statistics: Statistics = "exact",
    mask: Path | None = None,
    feather: int = 0,
    quiet: bool = False,
) -> Metadata:
    """Translate one file tile by tile; returns what it says beside its pixels.

    What is done is kept in a folder beside `target` until all is: the same call resumes where the last one stopped.

    Args:
        translator: The network, whose bundle computes the tiles in torch and fp32 whatever its runtime.
        source: TIFF, or another format; big ones of these need the extra `big`.
        target: TIFF for any size; other formats up to `codecs.MAX_PIXELS`.
        tile: Side of a tile in pixels.
        statistics: See `tiling`.
        mask: An image of the same size; what is not light in it is left alone.
        feather: Pixels inside the mask's edge over which the translation fades in.
        quiet: Without progress.

    Raises:
        BadInput: a file that cannot be read or written, or not enough room on the disk.
        Stopped: by Ctrl-C.
    """
    if translator.bundle is None:
        raise BadInput(f"tiles need the run or the bundle, found an exported file ({translator.runtime.label})")
    if tile < LEAST_TILE:
        raise BadInput(f"tiles must have {LEAST_TILE} pixels a side at least, got {tile}")
    stream = open_stream(source)
    height, width, _ = stream.shape
    if target.suffix.lower() not in TiffSuffixes and height * width > MAX_PIXELS:
        raise BadInput(f"{target}: {width}x{height} pixels are written as TIFF only; choose a name ending in .tif")
    target.parent.mkdir(parents=True, exist_ok=True)
    network = translator.bundle.translators[translator.direction]
    domains = str(translator.domain_in), str(translator.domain_out)
    settings = [file_sha256(source), digest(network), domains, tile, statistics, feather, mask and file_sha256(mask)]
    key = hashlib.sha256(json.dumps([FORMAT, *settings]).encode()).hexdigest()
    scratch = Scratch(work_folder(target, key))
    try:
        with ieee_fp32(translator.device):
            work = _Huge(translator, translator.layers(), scratch, stream, tile, statistics, quiet)
            lost = work.run(mask, feather)
        about = stream.about.with_channels(translator.channels_out)
        about = replace(about, lost=about.lost + lost, derived=translator.derived if about.origin else "")
        _write(work, about, target)
    except BadInput as error:
        scratch.remove()
        raise BadInput(naming(source, error)) from error
    except KeyboardInterrupt:
        raise Stopped(f"stopped; the same command resumes ({scratch.folder} holds what is done)") from None
    scratch.remove()
    return about


def translate_in_tiles(
    translator: Translator,
    decoded: DecodedImage,
    folder: Path | None,
    tile: int = TILE,
    statistics: Statistics = "exact",
) -> DecodedImage:
    """Translate an image in memory tile by tile; planes between layers are kept in files under `folder`, if given.

    Raises:
        BadInput: an exported model, or channels that the model does not take.
    """
    if translator.bundle is None:
        raise BadInput(f"tiles need the run or the bundle, found an exported file ({translator.runtime.label})")
    array, network = translator.prepare(decoded), translator.layers()
    planes = nullcontext() if folder is None else TemporaryDirectory(prefix=".unpaired-", dir=folder)
    with planes as scratch, ieee_fp32(translator.device):
        out = in_tiles(network, array, tile, Scratch(Path(scratch)) if scratch else None, statistics == "sampled")
    return translator.finish(decoded, out)


@dataclass
class _Huge:
    """The way of one image through its scratch folder."""

    translator: Translator
    network: Generator
    scratch: Scratch
    stream: Stream
    tile: int
    statistics: Statistics
    quiet: bool
    gaps: Gaps | None = None
    """Pixels without data."""

    def __post_init__(self) -> None:
        height, width, channels = self.stream.shape
        self.colours = slice(0, channels - self.stream.has_alpha)
        self.alpha = slice(channels - 1, channels) if self.stream.has_alpha else None
        self.domain = replace(self.translator.domain_in, nodata=None)  # the whole image decides, not a part
        self.source = Canvas(self.scratch, "image", self.stream.shape, self.stream.dtype)
        taken, given = self.translator.channels_in, self.translator.channels_out
        dtype = self.translator.values_of(np.zeros((given, 1, 1), np.float32), self.stream.dtype).dtype
        self.out = Canvas(self.scratch, "out", (height, width, given), dtype)
        blank = np.zeros((1, 1, channels), self.stream.dtype)
        self.domain.pixels(self._decoded(blank))  # refused before any work
        self.plan = Tiling.exact(self.network, (height, width), taken, self.tile)

    def run(self, mask: Path | None, feather: int) -> tuple[str, ...]:
        """Pour the file into the folder and carry out the tiling.

        Returns:
            In words, what the output's values lose.
        """
        height, width, channels = self.stream.shape
        plan, size = self.plan, (height, width)
        pixels = channels * self.stream.dtype.itemsize + self.out.shape[2] * self.out.dtype.itemsize
        room = (plan.room if self.statistics == "exact" else 0) + height * width * pixels
        require_room(self.scratch.folder, room)
        self._say(plan, room)
        self._pour(self.stream, self.source)
        self.gaps = find_gaps(self._bands, (self.stream.about.nodata, self.translator.domain_in.nodata))
        weight = self._mask(mask, size, feather) if mask else None

        def look(box: Box) -> Images:
            return to_tensor(self.domain.pixels(self.part(box)))[None]

        def write(box: Box, image: Tensor) -> None:
            part, pixels = self.part(box), self.translator.values_of(image[0].numpy(), self.stream.dtype)
            if weight is not None:
                pixels = blended_pixels(with_channels(part.pixels, self.out.shape[2]), pixels, weight(box))
            self.out.write(box, restored(pixels, part.nodata)[0])

        if self.statistics == "sampled":
            plan = Tiling.sampled(self.network, size, self._sample(), self.tile)
        with self._progress(plan) as advance:
            plan.run(look, write, self.scratch, advance)
        return self._lost()

    def part(self, box: Box) -> DecodedImage:
        """A part of the image, as a file of its own would be decoded."""
        return self._decoded(self.source.read(box))

    def translated(self, box: Box) -> DecodedImage:
        """A part of the output, with the alpha of the image."""
        pixels = self.out.read(box)
        alpha = None if self.alpha is None else converted(self.source.read(box, self.alpha), pixels.dtype)
        return DecodedImage(pixels, alpha)

    def _decoded(self, stored: Pixels) -> DecodedImage:
        colours, alpha = stored[..., self.colours], None if self.alpha is None else stored[..., self.alpha]
        if self.gaps is None:
            return DecodedImage(colours, alpha)
        where = without_data(colours, self.gaps.value)
        return DecodedImage(filled(colours, where, self.gaps), alpha, nodata=NoData(where, self.gaps.value))

    def _bands(self) -> Iterator[Pixels]:
        """The colours as stored, some rows at a time."""
        yield from _bands(self.source, self.colours)

    def _lost(self) -> tuple[str, ...]:
        values, dtype = self.domain.range_of(self.stream.dtype), self.stream.dtype
        known = self.domain.values is None and dtype.kind in "ui"
        share = 0.0 if known else share_outside(self._bands, self.gaps, values)
        nodata = self.gaps and NoData(np.ones((1, 1), bool), self.gaps.value)
        unheld = restored(np.zeros((1, 1, 1), self.out.dtype), nodata)[1]
        return tuple(words for words in (clipped_words(values, share), unheld) if words)

    def _pour(self, stream: Stream, canvas: Canvas) -> None:
        if not self.scratch.done(canvas.name):
            stream.pour(canvas.open)
            self.scratch.finish(canvas.name)

    def _mask(self, path: Path, size: tuple[int, int], feather: int) -> Callable[[Box], Weight]:
        """The weight of the translation in a box; what is within reach of the feather outside of it counts, too."""
        have = self.colours.stop
        if have not in (1, self.out.shape[2]):
            raise BadInput(
                f"a mask keeps pixels as they are, but this model turns {have} channels into {self.out.shape[2]}"
            )
        inside = self._inside(path, size)

        def weight(box: Box) -> Weight:
            reach = feather + 1
            rows, columns = (
                (max(span[0] - reach, 0), min(span[1] + reach, n)) for span, n in zip(box, size, strict=True)
            )
            found = weights(inside((rows, columns)), feather)
            top, left = box[0][0] - rows[0], box[1][0] - columns[0]
            return found[top : top + box[0][1] - box[0][0], left : left + box[1][1] - box[1][0]]

        return weight

    def _inside(self, path: Path, size: tuple[int, int]) -> Callable[[Box], NDArray[np.bool_]]:
        """The pixels of a box that a mask selects."""
        stream = open_stream(path)
        if stream.shape[:2] != size:
            found, wanted = (f"{shape[1]}x{shape[0]}" for shape in (stream.shape, size))
            raise BadInput(f"{path}: the mask has {found} pixels, the image {wanted}")
        if size[0] * size[1] <= IN_MEMORY:
            mask = read_selecting(path, "the image")
            return lambda box: mask[slice(*box[0]), slice(*box[1])]
        canvas = Canvas(self.scratch, "mask", stream.shape, stream.dtype)
        self._pour(stream, canvas)
        colours = slice(0, stream.channels - stream.has_alpha)
        top, highest = full_scale(stream.dtype), max(float(band.max()) for band in _bands(canvas, colours))
        half = 0 if stream.dtype.kind in "ui" and highest < top / 2 else top / 2  # labels, as in `imaging.masks`
        return lambda box: with_channels(canvas.read(box, colours), 1)[..., 0] > half

    def _sample(self) -> Images:
        """A smaller image of parts that are spread over the whole one."""
        height, width, channels = self.stream.shape
        stored = np.array(self.source.open()[np.ix_(spread(height), spread(width), np.arange(channels))])
        return to_tensor(self.domain.pixels(self._decoded(stored)))[None]

    def _say(self, plan: Tiling, room: int) -> None:
        if not self.quiet:
            height, width, _ = self.stream.shape
            passes = len(plan.sweeps) if self.statistics == "exact" else 1
            words = f"{width}x{height} in tiles of {self.tile}, {passes} passes, {self.statistics} statistics"
            print(f"{words}; up to {room / 1e9:.1f} GB in {self.scratch.folder}", file=sys.stderr, flush=True)

    @contextmanager
    def _progress(self, plan: Tiling) -> Iterator[Advance]:
        if self.quiet:
            yield lambda *args, **kwargs: None
            return
        with progress("tiles", plan.tiles) as advance:
            yield advance


def _bands(canvas: Canvas, channels: slice) -> Iterator[Pixels]:
    """Some rows at a time, from top to bottom."""
    height, width, _ = canvas.shape
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        yield canvas.read(((top, min(top + rows, height)), (0, width)), channels)


def digest(network: Generator) -> str:
    """SHA-256 of a network's weights and layers."""
    found = hashlib.sha256(repr(network).encode())
    for name, value in network.state_dict().items():
        found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _write(work: _Huge, about: Metadata, target: Path) -> None:
    def part(box: Box) -> DecodedImage:
        return replace(work.translated(box), about=about)

    height, width, colors = work.out.shape
    channels = colors + work.stream.has_alpha
    if target.suffix.lower() not in TiffSuffixes:
        write_image(part(((0, height), (0, width))), target)
    else:
        _write_tiff(part, (height, width, channels) if channels > 1 else (height, width), about, target)


def _write_tiff(part: Callable[[Box], DecodedImage], shape: tuple[int, ...], about: Metadata, target: Path) -> None:
    """Tiled and compressed; a BigTIFF where offsets of 32 bits are too short."""
    import tifffile

    height, width = shape[:2]

    def tiles() -> Iterator[Pixels]:
        for top in range(0, height, TIFF_TILE[0]):
            for left in range(0, width, TIFF_TILE[1]):
                bottom, right = min(top + TIFF_TILE[0], height), min(left + TIFF_TILE[1], width)
                one = part(((top, bottom), (left, right)))
                layers = [one.pixels] if one.alpha is None else [one.pixels, one.alpha]
                missing = ((0, TIFF_TILE[0] - bottom + top), (0, TIFF_TILE[1] - right + left), (0, 0))
                block = np.pad(np.concatenate(layers, axis=2), missing)
                yield block if len(shape) == 3 else block[..., 0]

    one = part(((0, 1), (0, 1)))
    big = one.pixels.dtype.itemsize * np.prod(shape, dtype=np.int64) > BIG
    try:
        with written_whole(target) as beside:
            tifffile.imwrite(
                beside,
                tiles(),
                shape=shape,
                dtype=one.pixels.dtype,
                tile=TIFF_TILE,
                compression="zlib",
                bigtiff=bool(big),
                **tiff_layout(one),
                **about.for_tiff(),
            )
            with beside.open("r+b") as file:
                about.finish_tiff(file)
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror or error})") from error
