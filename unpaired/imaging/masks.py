"""Masks of images: gray, 0/1, palette and label files alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Pixels, Readable, full_scale, read_image, with_channels


def read_mask(source: Path | bytes | Readable) -> Pixels:
    """An image as a mask, (h, w, 1) of its type: full scale is inside, 0 outside, and in proportion between.

    Two kinds of file hold labels rather than gray levels: palette images, and gray ones of whole numbers with no value
    in the upper half of full scale. There every label but 0 is inside.

    Raises:
        BadInput: it cannot be read, or has other channels than gray or RGB.
    """
    decoded = read_image(source)
    if decoded.labels is not None:
        return np.where(decoded.labels > 0, np.uint8(255), np.uint8(0))
    try:
        mask = with_channels(decoded.pixels, 1)
    except BadInput as error:
        raise BadInput(f"{'mask' if isinstance(source, bytes) else source}: a mask is gray or RGB; {error}") from error
    top = full_scale(mask.dtype)
    is_labels = mask.dtype.kind in "ui" and mask.max(initial=0) < top / 2
    return (mask > 0).astype(mask.dtype) * mask.dtype.type(top) if is_labels else mask
