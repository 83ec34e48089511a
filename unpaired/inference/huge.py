"""An image of any size from file to file, in memory that does not grow with it; stopped work can be resumed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unpaired.core.device import ieee_fp32, one_line_device_errors
from unpaired.core.errors import BadInput, naming
from unpaired.core.files import file_sha256, written_whole
from unpaired.core.progress import progress
from unpaired.imaging.images import DecodedImage, Images, Pixels, to_tensor, with_channels, write_image
from unpaired.imaging.metadata import Metadata
from unpaired.imaging.page_writers import BIG
from unpaired.imaging.pixels import MAX_PIXELS, NoData, full_scale, without_data
from unpaired.imaging.tiff import finish_tiff, tiff_layout
from unpaired.imaging.values import clipped_words, converted, restored
from unpaired.inference.masks import Weight, blended_pixels, read_selecting, weights
from unpaired.inference.nodata import Gaps, filled, find_gaps, share_outside
from unpaired.inference.options import TILE, Statistics
from unpaired.inference.scratch import Scratch, require_room, resumable
from unpaired.inference.streams import IN_MEMORY, Stream, open_stream
from unpaired.inference.tiling import Memory, Tiling, boxes, spread
from unpaired.inference.translator import Translator
from unpaired.models import Generator
from unpaired.models.spatial import Box

FORMAT = 3
"""Version of the work folders; work in others is begun again."""
LEAST_TILE = 64
"""Smaller tiles would be all border."""
ADVICE = "give --tile a smaller number, or --device cpu"
TIFF_TILE = 256
TIFF_SUFFIXES = (".tif", ".tiff")
BAND = 2**21
"""Pixels that are looked at together."""


@dataclass(frozen=True)
class Canvas:
    """The pixels of one image as an array of a scratch folder, opened for one box at a time."""

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
    """Translate one file in tiles of a side of `tile` pixels, 64 or more; returns the output's metadata.

    What is done is kept in a folder beside `target` until all is: the same call resumes where the last one stopped. The
    bundle computes the tiles in torch and fp32 whatever the runtime. Big sources other than TIFF need the extra `big`;
    targets of more than `pixels.MAX_PIXELS` are TIFF. What is not light in `mask`, an image of the same size, is left
    alone; the translation fades in over `feather` pixels inside the mask's edge. See `tiling` for `statistics`. Raises
    BadInput for a file that cannot be read or written or a disk that is too small, and Stopped after Ctrl-C.
    """
    network = translator.layers
    if tile < LEAST_TILE:
        raise BadInput(f"tiles must have {LEAST_TILE} pixels a side at least, got {tile}")
    stream = open_stream(source)
    height, width, _ = stream.shape
    if target.suffix.lower() not in TIFF_SUFFIXES and height * width > MAX_PIXELS:
        raise BadInput(f"{target}: {width}x{height} pixels are written as TIFF only; choose a name ending in .tif")
    target.parent.mkdir(parents=True, exist_ok=True)
    domains = str(translator.domain_in), str(translator.domain_out)
    content = file_sha256(source), digest(network), mask and file_sha256(mask)
    settings = [FORMAT, *content, domains, tile, statistics, feather]
    try:
        with resumable(target, settings, BadInput) as scratch, ieee_fp32(translator.device):
            work = _Huge(translator, scratch, stream, tile, statistics)
            about = translator.metadata_of(stream.about, work.run(mask, feather, quiet))
            _write(work, about, target)
    except BadInput as error:
        raise BadInput(naming(source, error)) from error
    return about


def translate_in_tiles(
    translator: Translator,
    decoded: DecodedImage,
    folder: Path | None,
    tile: int = TILE,
    statistics: Statistics = "exact",
) -> DecodedImage:
    """Translate an image in memory tile by tile; planes between layers are kept in files under `folder`, if given.

    Raises BadInput for an exported model, or channels that the model does not take.
    """
    array, network = translator.prepare(decoded), translator.layers
    image, (channels, height, width) = torch.from_numpy(array)[None], array.shape
    planes = nullcontext() if folder is None else TemporaryDirectory(prefix=".unpaired-", dir=folder)
    with planes as scratch, ieee_fp32(translator.device):
        if statistics == "sampled":
            small = array[np.ix_(np.arange(channels), spread(height), spread(width))]
            plan = Tiling.sampled(network, (height, width), torch.from_numpy(small)[None], tile)
        else:
            plan = Tiling.exact(network, (height, width), channels, tile)
        out = np.empty((plan.steps[-1].channels, height, width), np.float32)

        def write(box: Box, part: Tensor) -> None:
            out[:, slice(*box[0]), slice(*box[1])] = part[0].numpy()

        arrays = Scratch(Path(scratch)) if scratch else Memory()
        with one_line_device_errors(translator.device, f"tiles of {tile} px", ADVICE):
            plan.run(lambda box: image[..., slice(*box[0]), slice(*box[1])], write, arrays)
    return translator.finish(decoded, out)


class _Huge:
    """The way of one image through its scratch folder."""

    gaps: Gaps | None = None
    """Pixels without data."""

    def __init__(
        self, translator: Translator, scratch: Scratch, stream: Stream, tile: int, statistics: Statistics
    ) -> None:
        height, width, channels = stream.shape
        self.translator, self.scratch, self.stream, self.tile = translator, scratch, stream, tile
        self.sampled = statistics == "sampled"
        self.colours = slice(0, channels - stream.has_alpha)
        self.alpha = slice(channels - 1, channels) if stream.has_alpha else None
        self.domain = replace(translator.domain_in, nodata=None)  # the whole image decides, not a part
        self.source = Canvas(scratch, "image", stream.shape, stream.dtype)
        self.bands = partial(_bands, self.source, self.colours)
        taken, given = translator.channels_in, translator.channels_out
        dtype = translator.values_of(np.zeros((given, 1, 1), np.float32), stream.dtype).dtype
        self.out = Canvas(scratch, "out", (height, width, given), dtype)
        self.domain.pixels(self._decoded(np.zeros((1, 1, channels), stream.dtype)))  # refused before any work
        self.plan = Tiling.exact(translator.layers, (height, width), taken, tile)

    def run(self, mask: Path | None, feather: int, quiet: bool) -> tuple[str, ...]:
        """Copy the file into the folder and carry out the tiling; returns in words what the output's values lose."""
        height, width, channels = self.stream.shape
        plan, size = self.plan, (height, width)
        pixels = channels * self.stream.dtype.itemsize + self.out.shape[2] * self.out.dtype.itemsize
        room = height * width * pixels + (0 if self.sampled else plan.room)
        require_room(self.scratch.folder, room)
        if not quiet:
            how = "1 passes, sampled" if self.sampled else f"{len(plan.sweeps)} passes, exact"
            words = f"{width}x{height} in tiles of {self.tile}, {how} statistics"
            print(f"{words}; up to {room / 1e9:.1f} GB in {self.scratch.folder}", file=sys.stderr, flush=True)
        self._pour(self.stream, self.source)
        self.gaps = find_gaps(self.bands, (self.stream.about.nodata, self.translator.domain_in.nodata))
        weight = self._mask(mask, size, feather) if mask else None

        def look(box: Box) -> Images:
            return to_tensor(self.domain.pixels(self.part(box)))[None]

        def write(box: Box, image: Tensor) -> None:
            part, pixels = self.part(box), self.translator.values_of(image[0].numpy(), self.stream.dtype)
            if weight is not None:
                pixels = blended_pixels(with_channels(part.pixels, self.out.shape[2]), pixels, weight(box))
            self.out.write(box, restored(pixels, part.nodata)[0])

        if self.sampled:  # statistics of a smaller image of parts that are spread over the whole one
            stored = np.array(self.source.open()[np.ix_(spread(height), spread(width), np.arange(channels))])
            small = to_tensor(self.domain.pixels(self._decoded(stored)))[None]
            plan = Tiling.sampled(self.translator.layers, size, small, self.tile)
        failures = one_line_device_errors(self.translator.device, f"tiles of {self.tile} px", ADVICE)
        with failures, progress("tiles", plan.tiles, quiet=quiet) as advance:
            plan.run(look, write, self.scratch, advance)
        return self._lost()

    def part(self, box: Box) -> DecodedImage:
        """A part of the image, as a file of its own would be decoded."""
        return self._decoded(self.source.read(box))

    def translated(self, box: Box, about: Metadata) -> DecodedImage:
        """A part of the output, with the alpha of the image."""
        pixels = self.out.read(box)
        alpha = None if self.alpha is None else converted(self.source.read(box, self.alpha), pixels.dtype)
        return DecodedImage(pixels, alpha, about)

    def _decoded(self, stored: Pixels) -> DecodedImage:
        colours, alpha = stored[..., self.colours], None if self.alpha is None else stored[..., self.alpha]
        if self.gaps is None:
            return DecodedImage(colours, alpha)
        where = without_data(colours, self.gaps.value)
        return DecodedImage(filled(colours, where, self.gaps), alpha, nodata=NoData(where, self.gaps.value))

    def _lost(self) -> tuple[str, ...]:
        values, dtype = self.domain.range_of(self.stream.dtype), self.stream.dtype
        known = self.domain.values is None and dtype.kind in "ui"
        share = 0.0 if known else share_outside(self.bands, self.gaps, values)
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
            turns = f"{have} channels into {self.out.shape[2]}"
            raise BadInput(f"a mask keeps pixels as they are, but this model turns {turns}")
        inside, reach = self._inside(path, size), feather + 1

        def weight(box: Box) -> Weight:
            wide = [(max(start - reach, 0), min(stop + reach, n)) for (start, stop), n in zip(box, size, strict=True)]
            found = weights(inside((wide[0], wide[1])), feather)
            rows, columns = (slice(b[0] - w[0], b[1] - w[0]) for b, w in zip(box, wide, strict=True))
            return found[rows, columns]

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
        half = 0 if stream.dtype.kind in "ui" and highest < top / 2 else top / 2  # labels, as in `read_mask`
        return lambda box: with_channels(canvas.read(box, colours), 1)[..., 0] > half


def _bands(canvas: Canvas, channels: slice) -> Iterator[Pixels]:
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
    """The output with the alpha of the image; a TIFF is tiled and compressed, and a BigTIFF beyond 32-bit offsets."""
    import tifffile

    height, width, colours = work.out.shape
    channels = colours + work.stream.has_alpha
    if target.suffix.lower() not in TIFF_SUFFIXES:
        return write_image(work.translated(((0, height), (0, width)), about), target)
    shape = (height, width, channels) if channels > 1 else (height, width)

    def tiles() -> Iterator[Pixels]:
        for box in boxes((height, width), TIFF_TILE):
            one = work.translated(box, about)
            missing = [(0, TIFF_TILE - stop + start) for start, stop in box]
            block = np.pad(one.layers, [*missing, (0, 0)])
            yield block if len(shape) == 3 else block[..., 0]

    kind = {"dtype": work.out.dtype, "shape": shape, "tile": (TIFF_TILE, TIFF_TILE), "compression": "zlib"}
    big = work.out.dtype.itemsize * np.prod(shape, dtype=np.int64) > BIG
    layout = tiff_layout(work.translated(((0, 1), (0, 1)), about))
    try:
        with written_whole(target) as beside:
            tifffile.imwrite(beside, tiles(), bigtiff=bool(big), **kind, **layout, **about.for_tiff())
            with beside.open("r+b") as file:
                finish_tiff(file, about)
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror or error})") from error
