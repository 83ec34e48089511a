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
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.exif import ORIENTATION, Bytes
from unpaired.imaging.kinds import HEAD, beginning_of, medical_suffix
from unpaired.imaging.metadata import NOTHING, Metadata, metadata_of, png_info, tiff_metadata
from unpaired.imaging.segments import BY_PILLOW, IMAGES, YCBCR, check_segments, is_read, name_of, ycbcr_pixels
from unpaired.imaging.tiff_pages import MAX_PAGES, TiffStack, open_tiff, tiff_stack

if TYPE_CHECKING:
    from unpaired.imaging.medical import Slices

Pixels = NDArray[Any]
"""(h, w, c) of uint8, uint16, int16 or float32, nothing else."""
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIC", "DICOM", "NIfTI")
ALIASES = {
    **{".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"},
    **{".pgm": ".ppm", ".pnm": ".ppm", ".heif": ".heic"},
    **{".dicom": ".dcm", ".ima": ".dcm"},
}
"""Suffixes that mean the same as another."""
MEDICAL = (".dcm", ".nii", ".nii.gz")
SUFFIXES = frozenset({".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".avif", ".heic", *MEDICAL, *ALIASES})
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
TIFF_COLORS = WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
"""TIFF's photometric interpretations that mean the same at any bit depth."""
PREMULTIPLIED, STRAIGHT = 1, 2
"""TIFF's two kinds of alpha."""
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its doubts about odd files go to stderr
NOISY = re.compile(r"(PIL|pydicom|nibabel)\.")
DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow, tifffile and imagecodecs raise on damaged files; found by feeding them such files."""


Reader = Callable[[BinaryIO], Image.Image]
"""Opens a file of one format."""


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
    where = without_data(pixels, value)
    if not where.any():
        return decoded
    if where.all():
        raise BadInput("no pixel has data; remove it")
    fill = np.median(pixels[~where], axis=0).astype(pixels.dtype)
    filled = np.where(where[..., None], fill, pixels)
    return replace(decoded, pixels=filled, nodata=NoData(where, value))


def without_data(pixels: Pixels, value: float) -> NDArray[np.bool_]:
    """(h, w): pixels of NaN, or of `value` in all channels."""
    where: Any = np.isnan(pixels).any(axis=2) if pixels.dtype.kind == "f" else np.zeros(pixels.shape[:2], bool)
    if abs(value) <= float(np.finfo(np.float32).max):  # not NaN, and not what float32 has no number for
        where = where | (pixels == float(value)).all(axis=2)
    return where


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
    if suffix := medical_suffix(data[:HEAD]):
        return suffix
    if not data:
        raise BadInput("empty (0 bytes); replace or remove it")
    raise BadInput(f"not a {', '.join(FORMATS)} image ({beginning_of(data)}); replace or remove it")


class Header(NamedTuple):
    """What a file says before its pixels are decoded."""

    height: int
    """Before the image is turned."""
    width: int
    pages: int
    """Images of a stack or frames of an animation."""


NO_HEADER = Header(0, 0, 1)


def read_header(path: Path) -> Header:
    """Size and pages by a file's header; zeros where they cannot be read, as the reader of the image will report."""
    if not path.is_file():  # opening a pipe would wait for its other end
        return NO_HEADER
    try:
        with path.open("rb") as file:
            suffix = suffix_of(file.read(HEAD))
            file.seek(0)
            if suffix == ".tif":
                with open_tiff(file) as tiff:
                    page = tiff.pages.first.aspage()
                    return Header(page.imagelength, page.imagewidth, tiff_stack(tiff).count)
            if suffix in MEDICAL:
                count, height, width = open_medical(file, suffix, MAX_PIXELS).origin.shape
                return Header(height, width, count)
            image = pillow_reader(suffix)(file)
            return Header(image.height, image.width, frame_count(image))
    except DAMAGE:  # BadInput is one of them, too
        return NO_HEADER


def pillow_reader(suffix: str) -> Reader:
    """Pillow's reader of a format; `Image.open` would add a pixel limit and warnings of its own."""
    from PIL import (
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    readers: dict[str, Reader] = {
        ".png": PngImagePlugin.PngImageFile,
        ".jpg": JpegImagePlugin.JpegImageFile,
        ".webp": WebPImagePlugin.WebPImageFile,
        ".bmp": BmpImagePlugin.BmpImageFile,
        ".gif": GifImagePlugin.GifImageFile,
        ".ppm": PpmImagePlugin.PpmImageFile,
        ".avif": AvifImagePlugin.AvifImageFile,
        ".tif": TiffImagePlugin.TiffImageFile,
    }
    _quieten()
    return readers[suffix] if suffix in readers else _heif_reader()


def decode(data: bytes, max_pixels: int) -> DecodedImage:
    """The image in a file's bytes, told by content; refuses with BadInput, or raises one of DAMAGE."""
    match suffix := suffix_of(data):
        case ".png" if data[24:25] == b"\x10":  # IHDR: width, height, bit depth
            return _decode_deep_png(data, max_pixels)
        case ".tif":
            return _decode_tiff(data, max_pixels)
        case ".ppm":
            return _decode_ppm(data, max_pixels)
        case ".dcm" | ".nii" | ".nii.gz":
            slices = open_medical(io.BytesIO(data), suffix, max_pixels)
            return replace(slices.read(0), pages=slices.origin.shape[0])
        case _:
            return _decode_pillow(pillow_reader(suffix), data, max_pixels)


def open_medical(file: BinaryIO, suffix: str, max_pixels: int) -> Slices:
    """An open DICOM or NIfTI file; see `unpaired.imaging.medical`."""
    from unpaired.imaging import medical

    _quieten()
    return medical.open_medical(file, suffix, max_pixels)


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


def _quieten() -> None:
    """Ignore the warnings of decoders: of odd EXIF blocks and elements, harmless here, and of sizes, checked here.

    A standing filter, since `catch_warnings` is not safe in threads; put back where others reset the filters.
    """
    if not warnings.filters or warnings.filters[0][3] != NOISY:
        warnings.filterwarnings("ignore", module=NOISY.pattern)


def _decode_pillow(reader: Reader, data: bytes, max_pixels: int) -> DecodedImage:
    with reader(io.BytesIO(data)) as image:
        decoded = pillow_image(image, max_pixels)
        return replace(decoded, pages=frame_count(image))


def first_frame(image: Any) -> int:
    """1 where an animated PNG has a still image before its frames, else 0."""
    return int(getattr(image, "default_image", False))


def frame_count(image: Any) -> int:
    """Frames of an animation that Pillow has opened; 1 for a still image."""
    return max(1, min(getattr(image, "n_frames", 1), MAX_PAGES) - first_frame(image))


def pillow_image(image: Image.Image, max_pixels: int, about: Metadata | None = None) -> DecodedImage:
    """The present frame of a file that Pillow has opened.

    Raises:
        BadInput: of a kind that is not read, or too large; or one of DAMAGE.
    """
    _check_size(image.width, image.height, max_pixels)
    image.load()
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"):
        raise BadInput(f"pixels of kind {image.mode} have no known range; convert to RGB or grayscale")
    colors = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    has_alpha = image.mode[-1] in "Aa" or "transparency" in image.info
    pixels = np.atleast_3d(np.asarray(image.convert(colors + "A" * has_alpha)))
    about, turn = about or metadata_of(image.info), _orientation(image)
    labels = _upright(np.atleast_3d(np.asarray(image)), turn) if image.mode == "P" else None
    return replace(_finished(pixels, has_alpha, turn, about), labels=labels)


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
        if kind == b"acTL":
            raise BadInput("animated PNG of 16 bits; save it with 8 bits, or each frame as a file")
        at = end
    about.info.update(png_info(beside))
    pixels = np.atleast_3d(png_decode(b"".join(bare)))
    return _finished(pixels, pixels.shape[2] in (2, 4), _orientation(about), metadata_of(about.info))


def _decode_tiff(data: bytes, max_pixels: int) -> DecodedImage:
    with open_tiff(io.BytesIO(data)) as tiff:
        stack = tiff_stack(tiff)
        return replace(tiff_image(tiff, stack, 0, data, max_pixels), pages=stack.count)


def tiff_image(tiff: Any, stack: TiffStack, number: int, data: Bytes, max_pixels: int) -> DecodedImage:
    """One image of a TIFF that tifffile has opened and whose content is `data`.

    Raises:
        BadInput: of a kind that is not read, too large or damaged; or one of DAMAGE.
    """
    page, by_page = stack.page(tiff, number), stack.channels > 1
    samples = stack.channels if by_page else page.samplesperpixel
    extra = int(page.extrasamples[0]) if samples in (2, 4) and page.extrasamples else 0
    _check_tiff_size(page, samples, max_pixels)
    about = tiff_metadata(tiff, data, page)
    tag = page.tags.get(ORIENTATION)
    turn = tag.value if tag else 1
    if (page.photometric, page.compression, page.bitspersample, samples) == (YCBCR, 1, 8, 3):
        return _finished(ycbcr_pixels(page), False, turn, about)
    if not _is_plain_tiff(page, extra):
        with pillow_reader(".tif")(io.BytesIO(data)) as image:
            image.seek(int(stack.planes[number, 0]))
            return marked(pillow_image(image, max_pixels, about), about.nodata)
    if page.compression in IMAGES:
        for index in stack.planes[number]:
            check_segments(tiff.pages[int(index)].aspage())
    pixels = stack.read(tiff, number)
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
    decoded = _finished(pixels, extra in (PREMULTIPLIED, STRAIGHT), turn, about)
    return marked(decoded, about.nodata)


def _straight(pixels: Pixels) -> Pixels:
    """Colours divided by the alpha that a file has multiplied them with."""
    alpha = pixels[..., -1:].astype(np.float64)
    top = full_scale(pixels.dtype)
    colours = np.divide(pixels[..., :-1] * top, alpha, out=np.zeros(pixels[..., :-1].shape), where=alpha > 0)
    colours = colours if pixels.dtype.kind == "f" else np.rint(colours.clip(0, top))
    return np.concatenate([colours.astype(pixels.dtype), pixels[..., -1:]], axis=2)


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
    """Whole samples of a known range, RGB or gray; else 8 bits at most, for Pillow to read."""
    kind, bits = page.dtype, page.bitspersample
    if not is_read(page) and page.compression not in BY_PILLOW:
        raise BadInput(
            f"TIFF compressed by {name_of(page.compression)}, which is not read; save it with deflate or LZW"
        )
    simple = is_read(page) and page.photometric in TIFF_COLORS and page.imagedepth == 1
    straight = extra != PREMULTIPLIED or page.compression in IMAGES
    if kind in (np.uint8, np.bool_) and not (simple and bits == 8 and straight) and page.compression in BY_PILLOW:
        return False
    if (
        kind not in (np.uint8, np.uint16, np.int16, np.float16, np.float32, np.float64)
        or bits != 8 * np.dtype(kind).itemsize
    ):
        raise BadInput(f"TIFF of {kind} ({bits} bits) has no known range; convert to 8-bit, 16-bit or float")
    if not simple:
        colours = getattr(page.photometric, "name", page.photometric)
        how = f"compression {name_of(page.compression)}, colour space {colours}, depth {page.imagedepth}"
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
    if suffix in MEDICAL:
        from unpaired.imaging.medical import encode_medical

        return encode_medical([decoded], suffix)
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
