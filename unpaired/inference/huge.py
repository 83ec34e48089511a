"""An image of any size from file to file, in memory that does not grow with it, going on after whatever stopped it."""

from __future__ import annotations

import hashlib
import json
import math
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
from unpaired.imaging.codecs import MAX_PIXELS, NoData, full_scale, tiff_layout
from unpaired.imaging.images import DecodedImage, Images, Pixels, to_pixels, to_tensor, with_channels, write_image
from unpaired.imaging.metadata import Metadata
from unpaired.imaging.values import Domain, converted, restored
from unpaired.inference.masks import blended_pixels, read_selecting, weights
from unpaired.inference.scratch import Scratch, require_room, work_folder
from unpaired.inference.streams import IN_MEMORY, Stream, open_stream
from unpaired.inference.tiling import TILE, Tiling, in_tiles, spread
from unpaired.inference.translator import Translator
from unpaired.models import Generator
from unpaired.models.spatial import Box

FORMAT = 1
"""Version of the work folders; others are begun anew."""
LEAST_TILE = 64
"""Smaller tiles would be all border."""
TIFF_TILE = (256, 256)
BIG = 2**32 - 2**25
"""Bytes of pixels from which a TIFF needs 64-bit offsets."""
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
    domains = [str(translator.domain_in), str(translator.domain_out)]
    settings = [file_sha256(source), digest(network), *domains, tile, statistics, feather, mask and file_sha256(mask)]
    key = hashlib.sha256(json.dumps([FORMAT, *settings]).encode()).hexdigest()
    scratch = Scratch(work_folder(target, key))
    try:
        domains = translator.domain_in, translator.domain_out
        with ieee_fp32() if translator.device.type == "cuda" else nullcontext():
            out = _Huge(translator.layers(), domains, scratch, stream, tile, statistics, quiet).run(mask, feather)
        about = stream.about.with_channels(translator.channels_out)
        _write(out, Canvas(scratch, "image", stream.shape, stream.dtype), stream.has_alpha, about, target)
    except BadInput as error:
        scratch.remove()
        raise BadInput(naming(source, error)) from error
    except KeyboardInterrupt:
        raise Stopped(f"stopped; the same command resumes ({scratch.folder} holds what is done)") from None
    scratch.remove()
    return about


def translate_in_tiles(
    translator: Translator, decoded: DecodedImage, folder: Path, tile: int = TILE, statistics: Statistics = "exact"
) -> DecodedImage:
    """Translate an image in memory tile by tile; planes between layers are kept in files under `folder`.

    Raises:
        BadInput: an exported model, or channels that the model does not take.
    """
    if translator.bundle is None:
        raise BadInput(f"tiles need the run or the bundle, found an exported file ({translator.runtime.label})")
    array, network = translator.prepare(decoded), translator.layers()
    full = ieee_fp32() if translator.device.type == "cuda" else nullcontext()
    with TemporaryDirectory(prefix=".unpaired-", dir=folder) as scratch, full:
        out = in_tiles(network, array, tile, Scratch(Path(scratch)), statistics == "sampled")
    return translator.finish(decoded, out)


@dataclass
class _Huge:
    """The way of one image through its scratch folder."""

    network: Generator
    domains: tuple[Domain, Domain]
    """What the network takes and gives."""
    scratch: Scratch
    stream: Stream
    tile: int
    statistics: Statistics
    quiet: bool

    def run(self, mask: Path | None, feather: int) -> Canvas:
        """Pour the file into the folder, carry out the tiling; returns the output's pixels."""
        height, width, channels = self.stream.shape
        there, here = self.domains
        self._seen(np.zeros((1, 1, channels), self.stream.dtype), np.zeros(1))  # channels are refused before any work
        decoded = Canvas(self.scratch, "image", self.stream.shape, self.stream.dtype)
        values = here.values.dtype if here.values else "float32" if decoded.dtype == np.int16 else decoded.dtype
        out = Canvas(self.scratch, "out", (height, width, here.channels), np.dtype(values))
        network, size = self.network, (height, width)
        plan = Tiling.exact(network, size, there.channels, self.tile)
        stored = channels * decoded.dtype.itemsize + here.channels * out.dtype.itemsize
        room = (plan.room if self.statistics == "exact" else 0) + height * width * stored
        require_room(self.scratch.folder, room)
        self._say(plan, room)
        self._pour(self.stream, decoded)
        colors = channels - self.stream.has_alpha
        weight = self._mask(mask, size, feather, colors) if mask else None
        sample = np.array(decoded.open()[np.ix_(spread(height), spread(width), np.arange(channels))])
        known = sample[..., :colors][~self._without_data(sample)]
        fill = np.median(known if known.size else sample[..., :colors].reshape(-1, colors), axis=0)

        def look(box: Box) -> Images:
            return self._seen(decoded.read(box), fill)

        def write(box: Box, image: Tensor) -> None:
            pixels = here.values.from_unit(to_pixels(image[0], np.float32)) if here.values else None
            pixels = to_pixels(image[0], out.dtype) if pixels is None else pixels
            source = decoded.read(box)
            if weight is not None:
                pixels = blended_pixels(with_channels(source[..., :colors], out.shape[2]), pixels, weight(box))
            if not math.isnan(self._nodata):
                pixels = restored(pixels, NoData(self._without_data(source), self._nodata))[0]
            out.write(box, pixels)

        if self.statistics == "sampled":
            plan = Tiling.sampled(network, size, self._seen(sample, fill), self.tile)
        with self._progress(plan) as advance:
            plan.run(look, write, self.scratch, advance)
        return out

    def _pour(self, stream: Stream, canvas: Canvas) -> None:
        if not self.scratch.done(canvas.name):
            stream.pour(canvas.open)
            self.scratch.finish(canvas.name)

    @property
    def _nodata(self) -> float:
        """The value of pixels without data; NaN where there is none."""
        found, given = self.stream.about.nodata, self.domains[0].nodata
        return given if math.isnan(found) and given is not None else found

    def _without_data(self, pixels: Pixels) -> NDArray[np.bool_]:
        """(h, w): pixels without data in a part of the image."""
        colors = pixels.shape[2] - self.stream.has_alpha
        return (pixels[..., :colors] == self._nodata).all(axis=2)

    def _seen(self, pixels: Pixels, fill: NDArray) -> Images:
        """What the network sees of a part of the image; `fill` stands for pixels without data."""
        colors = pixels.shape[2] - self.stream.has_alpha
        alpha = pixels[..., colors:] if self.stream.has_alpha else None
        known = np.where(self._without_data(pixels)[..., None], fill.astype(pixels.dtype), pixels[..., :colors])
        return to_tensor(replace(self.domains[0], nodata=None).pixels(DecodedImage(known, alpha)))[None]

    def _mask(
        self, path: Path, size: tuple[int, int], feather: int, colors: int
    ) -> Callable[[Box], NDArray[np.float32]]:
        """The weight of the translation in a box; what is within reach of the feather outside of it counts, too."""
        if colors not in (1, self.domains[1].channels):
            have = f"{colors} channels into {self.domains[1].channels}"
            raise BadInput(f"a mask keeps pixels as they are, but this model turns {have}")
        inside = self._inside(path, size)

        def weight(box: Box) -> NDArray[np.float32]:
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
        top = full_scale(stream.dtype)
        highest = max(float(canvas.read(((row, row + 1), (0, size[1]))).max()) for row in range(size[0]))
        half = 0 if stream.dtype.kind in "ui" and highest < top / 2 else top / 2  # labels, as in `imaging.masks`
        colors = slice(0, stream.channels - stream.has_alpha)
        return lambda box: with_channels(canvas.read(box, colors), 1)[..., 0] > half

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


def digest(network: Generator) -> str:
    """SHA-256 of a network's weights and layers."""
    found = hashlib.sha256(repr(network).encode())
    for name, value in network.state_dict().items():
        found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _write(out: Canvas, decoded: Canvas, has_alpha: bool, about: Metadata, target: Path) -> None:
    alpha = slice(decoded.shape[2] - 1, None) if has_alpha else slice(0, 0)

    def part(box: Box) -> DecodedImage:
        return DecodedImage(out.read(box), converted(decoded.read(box, alpha), out.dtype) if has_alpha else None, about)

    height, width, colors = out.shape
    if target.suffix.lower() not in TiffSuffixes:
        write_image(part(((0, height), (0, width))), target)
    else:
        shape = (height, width, colors + has_alpha) if colors + has_alpha > 1 else (height, width)
        _write_tiff(part, shape, about, target)


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
