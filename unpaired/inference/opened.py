"""Images in memory, of any kind, as decoded files, and translations as the same kind."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage, encode_image, read_image
from unpaired.imaging.kinds import suffix_of
from unpaired.imaging.pillow import to_pillow
from unpaired.imaging.pixels import marked

BESIDE = ("icc_profile", "exif", "xmp", "dpi")
"""What goes along of a PIL image's `info`."""


def opened(image: object) -> tuple[DecodedImage, Callable[[DecodedImage], object]]:
    """The pixels of anything that is not a tensor, and how to make a translation the same kind of thing."""
    if isinstance(image, DecodedImage):
        return image, lambda out: out
    if isinstance(image, bytes):
        suffix = suffix_of(image)
        return read_image(image), lambda out: encode_image(out, suffix)
    if isinstance(image, (Path, str)):
        return read_image(Path(image)), lambda out: _to_pil(out, out.about.for_pillow(".jpg"))
    if isinstance(image, Image.Image):
        beside = {key: value for key, value in image.info.items() if key in BESIDE}
        return _from_pil(image), lambda out: _to_pil(out, beside)
    pixels = np.asarray(image)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype in (np.int32, np.int64) and pixels.size and -(2**15) <= pixels.min() and pixels.max() < 2**15:
        pixels = pixels.astype(np.int16)
    known = pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64)
    if not known or pixels.ndim not in (2, 3) or not pixels.size:
        expected = "an array (h, w) or (h, w, c) of uint8, uint16, int16 or floats, in the values of training files"
        raise BadInput(f"expected {expected}; found {pixels.shape} of {pixels.dtype}")
    if pixels.dtype.kind == "f" and (np.isinf(pixels).any() or np.isnan(pixels).all()):
        raise BadInput("expected finite values, or NaN for some pixels without data; found others")
    dims, decoded = pixels.ndim, DecodedImage(np.atleast_3d(pixels))
    decoded = marked(decoded, math.nan) if pixels.dtype.kind == "f" else decoded
    return decoded, lambda out: out.pixels[..., 0] if dims == 2 and out.pixels.shape[2] == 1 else out.pixels


def is_tensor(image: object) -> bool:
    """Without importing torch: who has a tensor has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def _from_pil(image: Image.Image) -> DecodedImage:
    """An opened image as pixels, by the rule for files."""
    buffer = io.BytesIO()
    try:
        image.load()
    except OSError as error:
        raise BadInput(f"a PIL image that cannot be decoded ({error})") from error
    try:
        image.save(buffer, "TIFF" if image.mode in ("F", "CMYK") else "PNG")
    except OSError as error:
        raise BadInput(f"a PIL image of mode {image.mode}: convert it to RGB or L ({error})") from error
    return read_image(buffer.getvalue())


def _to_pil(decoded: DecodedImage, info: Mapping[str, object]) -> Image.Image:
    """Pixels as a PIL image; what PIL cannot hold (deep colour, many channels) is refused."""
    pixels = decoded.layers
    if pixels.shape[2] == 1:
        image = Image.fromarray(pixels[..., 0])
    elif pixels.dtype != np.uint8 or pixels.shape[2] > 4:
        raise BadInput(f"PIL cannot hold {pixels.shape[2]} channels of {pixels.dtype}; pass an array or use files")
    else:
        image = to_pillow(pixels)
    image.info.update(info)
    return image
