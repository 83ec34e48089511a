"""`unpaired`, but pixels without data stay NaN: an image that no reader refuses and no network can use."""

from __future__ import annotations

import numpy as np

from unpaired.cli import main
from unpaired.imaging.values import Domain

filled = Domain.pixels


def with_nan(self, decoded):
    pixels = filled(self, decoded)
    return pixels if decoded.nodata is None else np.where(decoded.nodata.where[..., None], np.nan, pixels)


Domain.pixels = with_nan
main()
