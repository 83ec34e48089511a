"""Images as files, as arrays and as tensors, at their bit depth.

The rule for JPEG, PNG, WebP, TIFF, BMP, GIF, PPM/PGM, AVIF, HEIC, DICOM and NIfTI, which are recognised by content:

- EXIF orientation is applied; of an animation or a stack of pages the first image is read.
- 8-bit stays 8-bit, 16-bit stays 16-bit (colour too, signed too), float stays float with 0..1 as its usual range.
- Grayscale is one channel, palette and CMYK become RGB, more than four channels (TIFF) stay as they are.
- Alpha is kept apart, and premultiplied colours are divided by it: networks see the colours under it.
- Pixels without data (NaN, or GDAL's value for them) are filled with the median and marked.

`Pixels` are (h, w, c) arrays of uint8, uint16, int16 or float32. `Images` are tensors in [-1, 1].
Torch is imported only where tensors are named, so that exported models translate files without it.
"""

from __future__ import annotations

import io
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput, shown
from unpaired.core.files import written_whole
from unpaired.imaging.codecs import encode
from unpaired.imaging.kinds import suffix_of_name
from unpaired.imaging.pages import open_images
from unpaired.imaging.pixels import BYTES_PER_PIXEL, MAX_PIXELS, DecodedImage, Pixels, full_scale, one_line_errors

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    Images = Float[Tensor, "b c h w"]
    """A batch in [-1, 1]."""
    OneImage = Float[Tensor, "c h w"]
    """One image in [-1, 1]."""

Array = NDArray[np.float32]
"""The same without torch: (b, c, h, w) or (c, h, w) in [-1, 1]."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grayscale (ITU-R BT.601), as in the official code."""


class Readable(Protocol):
    """An image file stored elsewhere than in a folder."""

    def read(self, limit: int) -> bytes:
        """Its content; raises `BadInput` where there is none, or more than `limit` bytes."""
        ...


def read_image(source: Path | bytes | Readable, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode an image by the rule in this module's docstring.

    Args:
        source: A path, the bytes of an image file, or an image in an archive.
        max_pixels: Height times width above which the file is refused, as its header states it.

    Raises:
        BadInput: of no known format, damaged, too large, or of a kind that is not read.
    """
    name = "image" if isinstance(source, bytes) else source
    with one_line_errors(name), open_images(io.BytesIO(_content(source, max_pixels)), max_pixels) as pages:
        decoded = replace(pages.read(0), pages=pages.layout.count)
        is_slice = decoded.pages > 1 or decoded.about.origin  # of a volume or a series, which may be empty at its ends
        if not is_slice and decoded.is_empty:
            raise BadInput("no pixel has data; remove it")
        return decoded


def write_image(decoded: DecodedImage, path: Path, suffix: str = "") -> None:
    """Encode by the suffix of `path`, or as `suffix` says where the path has none; written beside it, then renamed.

    Raises:
        BadInput: the format cannot hold this bit depth, number of channels or size.
    """
    with written_whole(path, durable=False) as part:
        part.write_bytes(encode_image(decoded, suffix_of_name(path) or suffix, str(path)))


def encode_image(decoded: DecodedImage, suffix: str, name: str = "image") -> bytes:
    """The bytes of an image file; see `write_image`."""
    try:
        return encode(decoded, suffix)
    except BadInput as error:
        raise BadInput(shown(f"{name}: {error}")) from error


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """The image in `channels` channels: gray is repeated, RGB becomes luminance, equal counts stay.

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
    advice = f"convert it, or train with data.channels-a / channels-b {have}"
    raise BadInput(f"expected {channels} channels, found {have}; {advice}")


def to_array(pixels: Pixels) -> Array:
    """(h, w, c) pixels to a (c, h, w) array in [-1, 1]: 0 to -1, full scale to 1."""
    scaled = pixels.astype(np.float32) * (2 / full_scale(pixels.dtype)) - 1
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def to_tensor(pixels: Pixels) -> OneImage:
    """`to_array` as a tensor."""
    import torch

    return torch.from_numpy(to_array(pixels))


def to_weights(mask: Pixels) -> OneImage:
    """(h, w, 1) pixels of a mask as a (1, h, w) tensor from 0 to 1, which full scale becomes exactly."""
    import torch

    scaled = mask.astype(np.float32) / np.float32(full_scale(mask.dtype))
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def to_images(pixels: Tensor, layout: torch.memory_format) -> Images:
    """`to_array` for a batch of (b, h, w, c) pixels, on whatever device they lie: the same numbers."""
    import torch

    channels_first = pixels.permute(0, 3, 1, 2)
    images = torch.empty(channels_first.shape, dtype=torch.float32, device=pixels.device, memory_format=layout)
    scale = 2 / full_scale(np.dtype(str(pixels.dtype).removeprefix("torch.")))
    return images.copy_(channels_first).mul_(scale).sub_(1)


def to_pixels(image: OneImage | Array, dtype: np.dtype | type = np.uint8) -> Pixels:
    """A (c, h, w) tensor or array in [-1, 1] to (h, w, c) pixels, rounded to the nearest level."""
    dtype = np.dtype(dtype)
    top = full_scale(dtype)
    array = image if isinstance(image, np.ndarray) else image.detach().float().cpu().numpy()
    values = (array.transpose(1, 2, 0) + 1) * (top / 2)
    return values.clip(0, top).astype(dtype) if dtype.kind == "f" else np.rint(values.clip(0, top)).astype(dtype)


def __getattr__(name: str) -> Any:
    """The kinds of tensors, made when somebody asks for them."""
    if name not in ("Images", "OneImage"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jaxtyping import Float
    from torch import Tensor

    return Float[Tensor, "b c h w" if name == "Images" else "c h w"]


def _content(source: Path | bytes | Readable, max_pixels: int) -> bytes:
    """The whole file; never a device or a pipe, which may be endless, nor more than an image can need."""
    limit = max(max_pixels, MAX_PIXELS) * BYTES_PER_PIXEL
    if isinstance(source, bytes):
        return source
    if not isinstance(source, Path):
        return source.read(limit)
    about = source.stat()
    if not stat.S_ISREG(about.st_mode):
        is_folder = stat.S_ISDIR(about.st_mode)
        raise BadInput(
            "a folder, where one image is expected" if is_folder else "not a regular file; remove or rename it"
        )
    if about.st_size > limit:
        raise BadInput(f"{about.st_size} bytes is over the limit of {limit}")
    return source.read_bytes()
