"""Images as files, as arrays and as tensors; bit depth kept.

The rule, for JPEG, PNG, WebP, TIFF and BMP (told by content, never by file name):

- EXIF orientation is applied; of an animation or a stack of pages the first picture counts.
- 8-bit stays 8-bit, 16-bit stays 16-bit (colour too), float stays float with 0..1 as its range.
- Grayscale is one channel, palette and CMYK become RGB, more than four channels (TIFF) stay as they are.
- Alpha is kept apart: networks see the colours under it.

`Pixels` are (h, w, c) arrays of uint8, uint16 or float32 (nothing else). `Images` are tensors in [-1, 1].
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from unpaired.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    Images = Float[Tensor, "b c h w"]
    """A batch in [-1, 1]."""
    OneImage = Float[Tensor, "c h w"]
    """One image in [-1, 1]."""

Pixels = NDArray[Any]

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
MAX_PIXELS = 178_956_970
"""Larger pictures are refused before they are decoded (Pillow's own bound for a decompression bomb)."""
ORIENTATION = 0x0112
"""The EXIF and TIFF tag that tells which way up the camera was held."""
MAX_CHANNELS = 256
"""More channels than this in a file are taken for a mistake."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grayscale (ITU-R BT.601), as in the official code."""


@dataclass(frozen=True)
class Picture:
    """A decoded image file."""

    pixels: Pixels
    """Colours, (h, w, c) of uint8, uint16 or float32."""
    alpha: Pixels | None = None
    """Opacity, (h, w, 1) of the same type, where the file has it."""


def full_scale(dtype: np.dtype) -> float:
    """The value that stands for white: 255, 65535 or 1.0."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def image_files(folder: Path) -> list[Path]:
    """Every image under `folder`, recursively, by suffix, sorted by path; hidden files left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def read_picture(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode an image by the rule at the top of this file.

    Args:
        source: A path, or the bytes of an image file.
        max_pixels: Height times width above which the file is refused, judged by its header.

    Raises:
        BadInput: not one of the five formats, damaged, too large, or of a kind the rule does not cover.
    """
    name = "image" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        picture = _decode_deep(data, max_pixels)
        if picture is None:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.width, image.height, max_pixels)
                picture = _decode_pillow(image)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from error
    except Image.DecompressionBombError as error:
        raise BadInput(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise BadInput(f"{name}: not a {', '.join(FORMATS)} image") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"{name}: cannot be read ({reason}); replace or remove it") from error
    except (ValueError, SyntaxError, RuntimeError, IndexError, KeyError, MemoryError, OverflowError) as error:
        raise BadInput(f"{name}: damaged ({type(error).__name__}: {error}); replace or remove it") from error
    return picture


def write_picture(picture: Picture, path: Path) -> None:
    """Encode by the suffix of `path` (PNG, TIFF, JPEG, WebP, BMP), beside it first, then renamed into place.

    Raises:
        BadInput: the format cannot hold this bit depth or number of channels.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(encode_picture(picture, path.suffix.lower(), str(path)))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def encode_picture(picture: Picture, suffix: str, name: str = "image") -> bytes:
    """The bytes of an image file; see `write_picture`."""
    layers = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    pixels = np.concatenate(layers, axis=2)
    channels, deep = pixels.shape[2], pixels.dtype != np.uint8
    if suffix in (".tif", ".tiff") and (deep or channels > 4):
        import tifffile

        buffer = io.BytesIO()
        photometric = "rgb" if picture.pixels.shape[2] == 3 else "minisblack"
        extra = ["unassalpha"] if picture.alpha is not None else None
        layout = {"photometric": photometric, "planarconfig": "contig" if channels > 1 else None}
        tifffile.imwrite(buffer, pixels, **layout, extrasamples=extra, compression="zlib")
        return buffer.getvalue()
    if suffix == ".png" and pixels.dtype == np.uint16 and channels <= 4:
        from imagecodecs import png_encode

        return bytes(png_encode(pixels))
    if suffix not in SUFFIXES:
        raise BadInput(f"{name}: expected a name ending in {', '.join(sorted(SUFFIXES))}")
    if deep or channels > 4 or (channels in (2, 4) and suffix in (".jpg", ".jpeg", ".bmp")):
        kind = f"{channels} channels of {pixels.dtype}"
        raise BadInput(f"{name}: {suffix} cannot hold {kind}; choose .png (to 16 bits) or .tif (any)")
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    buffer = io.BytesIO()
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    options = {"quality": 95} if suffix in (".jpg", ".jpeg") else {"lossless": True} if suffix == ".webp" else {}
    image.save(buffer, Image.registered_extensions()[suffix], **options)
    return buffer.getvalue()


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """The picture in `channels` channels: gray is repeated, RGB becomes luminance, equal counts stay.

    Raises:
        BadInput: any other change of channels, which would be a guess.
    """
    have = pixels.shape[2]
    if have == channels:
        return pixels
    if have == 1:
        return np.repeat(pixels, channels, axis=2)
    if (have, channels) == (3, 1):
        luma = pixels.astype(np.float32) @ LUMA
        return (luma if pixels.dtype == np.float32 else np.rint(luma).astype(pixels.dtype))[..., None]
    raise BadInput(f"expected {channels} channels, found {have}; set data.channels-a / data.channels-b to the files'")


def to_tensor(pixels: Pixels) -> OneImage:
    """(h, w, c) pixels to a (c, h, w) tensor in [-1, 1]: 0 to -1, full scale to 1."""
    import torch

    scaled = pixels.astype(np.float32) * (2 / full_scale(pixels.dtype)) - 1
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def to_pixels(image: OneImage, dtype: np.dtype | type = np.uint8) -> Pixels:
    """A (c, h, w) tensor in [-1, 1] to (h, w, c) pixels, rounded to the nearest level."""
    dtype = np.dtype(dtype)
    top = full_scale(dtype)
    values = (image.detach().float().cpu().numpy().transpose(1, 2, 0) + 1) * (top / 2)
    return values.clip(0, top).astype(dtype) if dtype.kind == "f" else np.rint(values.clip(0, top)).astype(dtype)


def _decode_pillow(image: Image.Image) -> Picture:
    upright = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode.startswith("I;16"):
        return Picture(np.asarray(upright).astype(np.uint16)[..., None])
    if mode == "F":
        return Picture(np.asarray(upright, np.float32)[..., None])
    if mode == "I":
        raise BadInput("32-bit integers have no known range; convert to 16-bit or float")
    if mode in ("1", "L"):
        return Picture(np.asarray(upright.convert("L"))[..., None])
    has_alpha = "A" in mode or "a" in mode or "transparency" in upright.info
    if mode in ("LA", "La"):
        both = np.asarray(upright.convert("LA"))
        return Picture(both[..., :1], both[..., 1:])
    if has_alpha:
        both = np.asarray(upright.convert("RGBA"))
        return Picture(both[..., :3], both[..., 3:])
    return Picture(np.asarray(upright.convert("RGB")))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise BadInput(f"{width}x{height} is over the limit of {max_pixels} pixels")


def _decode_deep(data: bytes, max_pixels: int) -> Picture | None:
    """What Pillow would flatten to 8 bits or refuse: 16-bit colour PNG, deep or many-channelled TIFF."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:25] == b"\x10":  # IHDR: width, height, bit depth
        from imagecodecs import png_decode

        _check_size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"), max_pixels)
        pixels = np.atleast_3d(png_decode(data))
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = _upright(pixels, image.getexif().get(ORIENTATION, 1))
        return _split_alpha(pixels, has_alpha=pixels.shape[2] in (2, 4))
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _decode_tiff(data, max_pixels)
    return None


def _decode_tiff(data: bytes, max_pixels: int) -> Picture | None:
    """Channels first or last; of a stack of pages the first. None where Pillow reads the same more fully."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page, series = tiff.pages.first, tiff.series[0]
        _check_size(page.imagewidth, page.imagelength, max_pixels)
        channels_first = series.axes in ("CYX", "SYX")
        samples = series.shape[0] if channels_first else page.samplesperpixel
        if page.dtype == np.uint8 and samples in (1, 3, 4) and not channels_first:
            return None
        if samples > MAX_CHANNELS:
            raise BadInput(f"TIFF of {samples} channels; at most {MAX_CHANNELS} are read")
        pixels = series.asarray() if channels_first else page.asarray()
        tag = page.tags.get(ORIENTATION)
        has_alpha = samples in (2, 4) and bool(page.extrasamples) and int(page.extrasamples[0]) in (1, 2)
    pixels = np.moveaxis(pixels, 0, -1) if channels_first or page.planarconfig == 2 else np.atleast_3d(pixels)
    pixels = _upright(pixels.astype(np.float32) if pixels.dtype.kind == "f" else pixels, tag.value if tag else 1)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise BadInput(f"TIFF of {pixels.dtype}, which has no known range; convert to 8-bit, 16-bit or float")
    return _split_alpha(pixels, has_alpha)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the camera's turn: EXIF orientations 5 to 8 swap the axes first, then rows or columns are reversed."""
    turned = pixels.transpose(1, 0, 2) if orientation in (5, 6, 7, 8) else pixels
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    return turned[::-1] if orientation in (3, 4, 7, 8) else turned


def _split_alpha(pixels: Pixels, has_alpha: bool) -> Picture:
    return Picture(pixels[..., :-1], pixels[..., -1:]) if has_alpha else Picture(pixels)
