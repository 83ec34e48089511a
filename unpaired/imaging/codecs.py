"""Image files as bytes, in and out, for what can be trusted with nothing: sizes are checked before anything is decoded.

The rule of what becomes what stands at the top of `unpaired.imaging.images`.
"""

from __future__ import annotations

import io
import logging
import math
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.exif import ORIENTATION
from unpaired.imaging.kinds import beginning_of
from unpaired.imaging.metadata import NOTHING, Metadata, metadata_of, png_info, tiff_metadata

Pixels = NDArray[Any]
"""(h, w, c) of uint8, uint16, int16 or float32, nothing else."""
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIC")
ALIASES = {
    **{".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"},
    **{".pgm": ".ppm", ".pnm": ".ppm", ".heif": ".heic"},
}
"""Suffixes that mean the same as another."""
SUFFIXES = frozenset({".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".avif", ".heic", *ALIASES})
MAGICS = (
    ((b"\x89PNG\r\n\x1a\n",), ".png"),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), ".tif"),
    ((b"\xff\xd8\xff",), ".jpg"),
    ((b"RIFF",), ".webp"),
    ((b"BM",), ".bmp"),
    ((b"GIF87a", b"GIF89a"), ".gif"),
    ((b"P5", b"P6"), ".ppm"),
)
"""How files of each format begin."""
MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded (Pillow's own bound for a decompression bomb)."""
BYTES_PER_PIXEL = 8
"""Four channels of 16 bits: a file, and its decoded pixels, may take this many bytes per pixel allowed."""
MAX_CHANNELS = 256
"""More channels than this in a file are taken for a mistake."""
MAX_PAGES = 65_536
"""Pages that are counted."""
MAX_TAGS = 4096
"""Tags of a page of a TIFF that tifffile reads."""
MAX_LEVELS = 32
"""Directories below a page of a TIFF: a pyramid of twenty thousand pixels has eight."""
SUB_DIRECTORIES = 330
"""The TIFF tag that tells their places."""
TIFF_STREAMS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""No compression, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard. Image codecs inside a TIFF (JPEG 2000,
LERC) bring a size of their own, which no check of the header bounds."""
TIFF_COLORS = WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
"""TIFF's photometric interpretations that mean the same at any bit depth."""
PREMULTIPLIED, STRAIGHT = 1, 2
"""TIFF's two kinds of alpha."""
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its doubts about odd files go to stderr
PILLOW = re.compile(r"PIL\.")
DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow, tifffile and imagecodecs raise on damaged files; found by feeding them such files."""


@dataclass(frozen=True)
class NoData:
    """Pixels without data: outside a scene, or not measured."""

    where: NDArray[np.bool_]
    """(h, w)"""
    value: float
    """Their value in the file; may be NaN."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file."""

    pixels: Pixels
    """Colours, (h, w, c) of uint8, uint16, int16 or float32; without data, the median of the others."""
    alpha: Pixels | None = None
    """Opacity, (h, w, 1) of the same type, where the file has it."""
    about: Metadata = NOTHING
    """Metadata: colour profile, EXIF, georeference."""
    nodata: NoData | None = None
    """Which pixels have no data, where there are such."""
    labels: NDArray[np.uint8] | None = None
    """(h, w, 1) numbers of the palette's colours, in files with a palette."""
    pages: int = 1
    """Pages of a stack or frames of an animation, of which `pixels` is the first."""


def marked(decoded: DecodedImage, value: float) -> DecodedImage:
    """The image with all pixels of `value`, or NaN, marked as having no data and filled with the median of the others.

    A fill in the middle of the values moves the statistics of normalisation layers least.

    Raises:
        BadInput: no pixel has data.
    """
    pixels = decoded.pixels
    where: Any = np.zeros(pixels.shape[:2], bool)
    if pixels.dtype.kind == "f":
        where = np.isnan(pixels).any(axis=2)
    if abs(value) <= float(np.finfo(np.float32).max):  # not NaN, and not what float32 has no number for
        where = where | (pixels == float(value)).all(axis=2)
    if not where.any():
        return decoded
    if where.all():
        raise BadInput("no pixel has data; remove it")
    fill = np.median(pixels[~where], axis=0).astype(pixels.dtype)
    filled = np.where(where[..., None], fill, pixels)
    return replace(decoded, pixels=filled, nodata=NoData(where, value))


def full_scale(dtype: np.dtype) -> float:
    """The value that stands for white: 255, 65535 or 1.0."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def suffix_of(data: bytes) -> str:
    """The suffix of the format that a file's first bytes tell.

    Raises:
        BadInput: of no known format.
    """
    for magics, suffix in MAGICS:
        if data.startswith(magics):
            return suffix
    if data[4:8] == b"ftyp":  # a file of ISO base media boxes
        return ".avif" if data[8:12] in (b"avif", b"avis") else ".heic"
    if not data:
        raise BadInput("empty (0 bytes); replace or remove it")
    raise BadInput(f"not a {', '.join(FORMATS)} image ({beginning_of(data)}); replace or remove it")


def header_size(path: Path) -> tuple[int, int]:
    """Height and width as a file tells them, before the image is turned; (0, 0) where they are not to be had."""
    from PIL import (
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        WebPImagePlugin,
    )

    readers: dict[str, Callable[[BinaryIO], Image.Image]] = {
        ".png": PngImagePlugin.PngImageFile,
        ".jpg": JpegImagePlugin.JpegImageFile,
        ".webp": WebPImagePlugin.WebPImageFile,
        ".bmp": BmpImagePlugin.BmpImageFile,
        ".gif": GifImagePlugin.GifImageFile,
        ".ppm": PpmImagePlugin.PpmImageFile,
        ".avif": AvifImagePlugin.AvifImageFile,
    }
    _quieten_pillow()
    if not path.is_file():  # opening a pipe would wait for its other end
        return 0, 0
    try:
        with path.open("rb") as file:
            suffix = suffix_of(file.read(16))
            file.seek(0)
            if suffix == ".tif":
                import tifffile

                with tifffile.TiffFile(file) as tiff:
                    page = tiff.pages.first.aspage()
                    return page.imagelength, page.imagewidth
            image = (readers[suffix] if suffix in readers else _heif_reader())(file)
            return image.height, image.width
    except DAMAGE:  # BadInput is one of them, too
        return 0, 0


def decode(data: bytes, max_pixels: int) -> DecodedImage:
    """The image in a file's bytes, told by content; refuses with BadInput, or raises one of DAMAGE.

    Each format goes to its own reader: `Image.open` would add a pixel limit and warnings of its own.
    """
    from PIL import (
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    _quieten_pillow()
    match suffix_of(data):
        case ".png" if data[24:25] == b"\x10":  # IHDR: width, height, bit depth
            return _decode_deep_png(data, max_pixels)
        case ".png":
            return _decode_pillow(PngImagePlugin.PngImageFile, data, max_pixels)
        case ".tif":
            deep, about = _decode_tiff(data, max_pixels)
            return deep or marked(_decode_pillow(TiffImagePlugin.TiffImageFile, data, max_pixels, about), about.nodata)
        case ".jpg":
            return _decode_pillow(JpegImagePlugin.JpegImageFile, data, max_pixels)
        case ".webp":
            return _decode_pillow(WebPImagePlugin.WebPImageFile, data, max_pixels)
        case ".gif":
            return _decode_pillow(GifImagePlugin.GifImageFile, data, max_pixels)
        case ".ppm":
            return _decode_ppm(data, max_pixels)
        case ".avif":
            return _decode_pillow(AvifImagePlugin.AvifImageFile, data, max_pixels)
        case ".heic":
            return _decode_pillow(_heif_reader(), data, max_pixels)
        case _:
            return _decode_pillow(BmpImagePlugin.BmpImageFile, data, max_pixels)


def _heif_reader() -> Any:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise BadInput("HEIC needs pillow-heif; pip install 'unpaired[heic]', or save it as JPEG or PNG") from error
    return HeifImageFile


def _decode_ppm(data: bytes, max_pixels: int) -> DecodedImage:
    """Binary PPM and PGM, of 8 or 16 bits; Pillow would round 16-bit colour to 8 bits."""
    header = re.match(rb"P([56])(?:\s+(?:#[^\n]*\n\s*)*)(\d{1,9})\s+(\d{1,9})\s+(\d{1,5})\s", data[:4096])
    if header is None:
        raise BadInput("damaged (a PPM header that cannot be read); replace or remove it")
    channels = 1 if header[1] == b"5" else 3
    width, height, top = (int(number) for number in header.groups()[1:])
    _check_size(width, height, max_pixels)
    if top not in (255, 65535) and top < 256:
        raise BadInput(f"PPM with {top} as white; save it with 255 or 65535")
    kind = np.dtype(">u2" if top > 255 else np.uint8)
    count = height * width * channels
    pixels = np.frombuffer(data, kind, count, header.end()).reshape(height, width, channels)
    return _finished(pixels.astype(kind.newbyteorder("=")), False, 1, NOTHING)


def _encode_ppm(pixels: Pixels) -> bytes:
    height, width, channels = pixels.shape
    head = f"P{5 if channels == 1 else 6}\n{width} {height}\n{np.iinfo(pixels.dtype).max}\n".encode()
    return head + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def _quieten_pillow() -> None:
    """Ignore Pillow's warnings: of odd EXIF blocks, harmless here, and of sizes, checked here.

    A standing filter, since `catch_warnings` is not safe in threads; put back where others reset the filters.
    """
    if not warnings.filters or warnings.filters[0][3] != PILLOW:
        warnings.filterwarnings("ignore", module=PILLOW.pattern)


def _decode_pillow(
    reader: Callable[[io.BytesIO], Image.Image], data: bytes, max_pixels: int, about: Metadata | None = None
) -> DecodedImage:
    with reader(io.BytesIO(data)) as image:
        _check_size(image.width, image.height, max_pixels)
        image.load()
        if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"):
            raise BadInput(f"pixels of kind {image.mode} have no known range; convert to RGB or grayscale")
        colors = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
        has_alpha = image.mode[-1] in "Aa" or "transparency" in image.info
        pixels = np.atleast_3d(np.asarray(image.convert(colors + "A" * has_alpha)))
        about, turn = about or metadata_of(image.info), _orientation(image)
        labels = _upright(np.atleast_3d(np.asarray(image)), turn) if image.mode == "P" else None
        frames = min(getattr(image, "n_frames", 1), MAX_PAGES)
        return replace(_finished(pixels, has_alpha, turn, about), labels=labels, pages=frames)


def _orientation(image: Image.Image) -> int:
    """1 (upright) also where a sound image carries a damaged EXIF block."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except DAMAGE:
        return 1


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise BadInput(f"{width}x{height} holds no pixels; replace or remove it")
    if width * height > max_pixels:
        raise BadInput(f"{width}x{height} is over the limit of {max_pixels} pixels")


def _decode_deep_png(data: bytes, max_pixels: int) -> DecodedImage:
    """16 bits, which Pillow flattens to 8 where there is colour."""
    from imagecodecs import png_decode

    _check_size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"), max_pixels)
    bare, at, about = [data[:8]], 8, Image.new("1", (1, 1))
    beside: list[tuple[bytes, bytes]] = []
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind in (b"IHDR", b"tRNS", b"IDAT", b"IEND"):  # of the others libpng complains on stderr
            bare.append(data[at:end])
        else:
            beside.append((kind, data[at + 8 : end - 4]))
        at = end
    about.info.update(png_info(beside))
    pixels = np.atleast_3d(png_decode(b"".join(bare)))
    return _finished(pixels, pixels.shape[2] in (2, 4), _orientation(about), metadata_of(about.info))


def _decode_tiff(data: bytes, max_pixels: int) -> tuple[DecodedImage | None, Metadata]:
    """Channels first or last; of a stack of pages the first. None for the kinds of 8-bit TIFF left to Pillow."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page: Any = tiff.pages.first
        stack: Any = tiff.series[0] if has_stack(tiff) else page
        by_page = stack.axes == "CYX"  # channels as pages, as ImageJ and tifffile keep them
        samples = stack.shape[0] if by_page else page.samplesperpixel
        extra = int(page.extrasamples[0]) if samples in (2, 4) and page.extrasamples else 0
        _check_tiff_size(page, samples, max_pixels)
        about = tiff_metadata(tiff, data)
        if not _is_plain_tiff(page, extra):
            return None, about
        pixels = stack.asarray() if by_page else page.asarray()
        tag = page.tags.get(ORIENTATION)
        pages = 1 if by_page else count_pages(tiff)
    first = pixels.ndim == 3 and (by_page or page.planarconfig == 2)
    pixels = np.moveaxis(pixels, 0, -1) if first else np.atleast_3d(pixels)
    if pixels.dtype == np.float64:  # GDAL's usual value is the least of its type, which float32 cannot hold
        pixels = np.where(pixels == about.nodata, np.nan, pixels)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        pixels = pixels.astype(np.float32 if pixels.dtype.kind == "f" else pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind == "f" and np.isinf(pixels).any():
        raise BadInput("holds infinite values, or values too large for 32 bits; fix them, or remove the file")
    if page.photometric == WHITE_IS_ZERO and samples == 1 and pixels.dtype != np.int16:
        pixels = np.array(full_scale(pixels.dtype), pixels.dtype) - pixels
    if extra == PREMULTIPLIED:
        pixels = _straight(pixels)
    decoded = _finished(pixels, extra in (PREMULTIPLIED, STRAIGHT), tag.value if tag else 1, about)
    return marked(replace(decoded, pages=pages), about.nodata), about


def _straight(pixels: Pixels) -> Pixels:
    """Colours divided by the alpha that a file has multiplied them with."""
    alpha = pixels[..., -1:].astype(np.float64)
    top = full_scale(pixels.dtype)
    colours = np.divide(pixels[..., :-1] * top, alpha, out=np.zeros(pixels[..., :-1].shape), where=alpha > 0)
    colours = colours if pixels.dtype.kind == "f" else np.rint(colours.clip(0, top))
    return np.concatenate([colours.astype(pixels.dtype), pixels[..., -1:]], axis=2)


def count_pages(tiff: Any) -> int:
    """Pages of the first page's size, other ones being previews; ImageJ writes one page for a whole stack."""
    first = tiff.pages.first
    if tiff.is_imagej:
        return max(1, min(int((tiff.imagej_metadata or {}).get("images", 1)), MAX_PAGES))
    form, file, seen, at, count = tiff.tiff, tiff.filehandle, set(), first.offset, 0
    while at and at not in seen and len(seen) < MAX_PAGES and at + form.tagnosize <= file.size:
        seen.add(at)
        file.seek(at)
        (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        if tags > MAX_TAGS:
            break
        count += _size_in(form, file.read(tags * form.tagsize)) == (first.imagewidth, first.imagelength)
        after = file.read(form.offsetsize)
        at = struct.unpack(form.offsetformat, after)[0] if len(after) == form.offsetsize else 0
    return max(1, count)


def _size_in(form: Any, tags: bytes) -> tuple[int, int]:
    """Width and height as the tags of a page say."""
    sides = {256: 0, 257: 0}
    for start in range(0, len(tags) - form.tagsize + 1, form.tagsize):
        code, kind = struct.unpack_from(form.byteorder + "HH", tags, start)
        if code in sides and kind in (3, 4):
            value = start + form.tagsize - form.offsetsize
            (sides[code],) = struct.unpack_from(form.byteorder + ("H" if kind == 3 else "I"), tags, value)
    return sides[256], sides[257]


def has_stack(tiff: Any) -> bool:
    """Whether pages may be channels: ImageJ, tifffile or OME says of them what they are, and they are few.

    tifffile would go through all pages, however many and round any circle, and through all directories below each.

    Raises:
        BadInput: such pages lead in a circle.
    """
    if tiff.pages.first.samplesperpixel != 1 or not (tiff.is_imagej or tiff.is_shaped or tiff.is_ome):
        return False
    form, file, seen, at = tiff.tiff, tiff.filehandle, set(), tiff.pages.first.offset
    while at and at + form.tagnosize <= file.size:
        if at in seen:
            raise BadInput("damaged (the pages of the TIFF lead in a circle); replace or remove it")
        seen.add(at)
        file.seek(at)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        tags = file.read(min(count, MAX_TAGS) * form.tagsize)
        if len(seen) > MAX_CHANNELS or count > MAX_TAGS or _directories(form, tags) > MAX_LEVELS:
            return False
        after = file.read(form.offsetsize)
        at = struct.unpack(form.offsetformat, after)[0] if len(after) == form.offsetsize else 0
    return True


def _directories(form: Any, tags: bytes) -> int:
    """How many directories the tags of a page say are below it."""
    whole = tags[: len(tags) // form.tagsize * form.tagsize]
    entries = struct.iter_unpack(form.tagheaderformat, whole)
    return max((count for code, _, count, _ in entries if code == SUB_DIRECTORIES), default=0)


def _check_tiff_size(page: Any, samples: int, max_pixels: int) -> None:
    """All that the header lets a decoder allocate: the image, and one strip or tile."""
    _check_size(page.imagewidth, page.imagelength, max_pixels)
    if samples > MAX_CHANNELS:
        raise BadInput(f"TIFF of {samples} channels; at most {MAX_CHANNELS} are read")
    width = page.dtype.itemsize if page.dtype else 1
    need = width * max(page.imagewidth * page.imagelength * page.imagedepth * samples, math.prod(page.chunks))
    if need > max_pixels * BYTES_PER_PIXEL:
        raise BadInput(f"TIFF that unpacks to {need} bytes, over the limit of {max_pixels * BYTES_PER_PIXEL}")
    if not page.is_contiguous and math.prod(page.chunked) > len(page.dataoffsets):
        raise BadInput("damaged (TIFF without the places of all its strips or tiles); replace or remove it")


def _is_plain_tiff(page: Any, extra: int) -> bool:
    """Whole samples of a known range, RGB or gray, in a stream of bytes; else 8 bits at most, for Pillow to read."""
    kind, bits, coding = page.dtype, page.bitspersample, (page.compression, page.photometric)
    simple = coding[0] in TIFF_STREAMS and coding[1] in TIFF_COLORS and page.imagedepth == 1
    if kind in (np.uint8, np.bool_) and not (simple and bits == 8 and extra != PREMULTIPLIED):
        return False
    if (
        kind not in (np.uint8, np.uint16, np.int16, np.float16, np.float32, np.float64)
        or bits != 8 * np.dtype(kind).itemsize
    ):
        raise BadInput(f"TIFF of {kind} ({bits} bits) has no known range; convert to 8-bit, 16-bit or float")
    if not simple:
        how = f"compression {coding[0]}, colour space {coding[1]}, depth {page.imagedepth}"
        raise BadInput(f"TIFF of {kind} in {how}; save one slice, RGB or gray, with deflate or LZW")
    return True


def _encode_tiff(pixels: Pixels, decoded: DecodedImage) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    tifffile.imwrite(buffer, flat, compression="zlib", **tiff_layout(decoded), **decoded.about.for_tiff())
    decoded.about.finish_tiff(buffer)
    return buffer.getvalue()


def tiff_layout(decoded: DecodedImage) -> dict[str, Any]:
    """Arguments of tifffile's writer that tell what the channels are."""
    colors = decoded.pixels.shape[2]
    return {
        "photometric": "rgb" if colors == 3 else "minisblack",
        "planarconfig": "contig" if colors > 1 or decoded.alpha is not None else None,
        "extrasamples": ["unassalpha"] if decoded.alpha is not None else None,
    }


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the camera's turn: EXIF orientations 5 to 8 swap the axes first, then rows or columns are reversed."""
    turned = pixels.transpose(1, 0, 2) if orientation in (5, 6, 7, 8) else pixels
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    return np.ascontiguousarray(turned[::-1] if orientation in (3, 4, 7, 8) else turned)


def _finished(pixels: Pixels, has_alpha: bool, orientation: int, about: Metadata) -> DecodedImage:
    """Upright, alpha apart, and what is said of them true."""
    pixels = _upright(pixels, orientation)
    about = about.upright(turned=orientation in range(2, 9)).with_channels(pixels.shape[2] - has_alpha)
    return DecodedImage(pixels[..., :-1], pixels[..., -1:], about) if has_alpha else DecodedImage(pixels, None, about)


def encode(decoded: DecodedImage, suffix: str) -> bytes:
    """The bytes of an image file of the kind that `suffix` names.

    Raises:
        BadInput: it cannot hold this bit depth, number of channels or size.
    """
    layers = [decoded.pixels] if decoded.alpha is None else [decoded.pixels, decoded.alpha]
    pixels = np.ascontiguousarray(np.concatenate(layers, axis=2))  # a network's output comes channels first
    colors, channels, deep = decoded.pixels.shape[2], pixels.shape[2], pixels.dtype != np.uint8
    plain = colors in (1, 3)  # two or four colours without alpha would come back as gray or RGB with alpha
    if suffix not in SUFFIXES:
        raise BadInput(f"expected a name ending in {', '.join(sorted(SUFFIXES))}")
    suffix = ALIASES.get(suffix, suffix)
    if suffix == ".tif":
        return _encode_tiff(pixels, decoded)
    if suffix == ".ppm" and channels in (1, 3) and pixels.dtype in (np.uint8, np.uint16):
        return _encode_ppm(pixels)
    if suffix == ".png" and pixels.dtype == np.uint16 and plain:
        from imagecodecs import png_encode

        return decoded.about.into_png(bytes(png_encode(pixels)))
    if deep or not plain or (channels in (2, 4) and suffix in (".jpg", ".bmp", ".ppm")):
        kind = f"{channels} channels of {pixels.dtype}"
        raise BadInput(f"{suffix} cannot hold {kind}; choose .png (to 16 bits) or .tif (any)")
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    buffer = io.BytesIO()
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    options: dict[str, dict[str, Any]] = {".webp": {"lossless": True, "exact": True}, ".gif": {"optimize": False}}
    options |= dict.fromkeys((".jpg", ".avif", ".heic"), {"quality": 95})
    if suffix == ".gif" and channels == 3:
        image = image.quantize(256, Image.Quantize.MEDIANCUT)  # a palette of the image's own colours
    if suffix == ".heic":
        _heif_reader()
        import pillow_heif

        pillow_heif.register_heif_opener()
    beside = decoded.about.for_pillow(suffix) if suffix != ".png" else {}
    try:
        image.save(buffer, Image.registered_extensions()[suffix], **options.get(suffix, {}), **beside)
    except (OSError, ValueError) as error:  # more pixels a side than WebP (16383) or JPEG (65500) has
        raise BadInput(f"{suffix} cannot hold {image.width}x{image.height} ({error})") from error
    return decoded.about.into_png(buffer.getvalue()) if suffix == ".png" else buffer.getvalue()
