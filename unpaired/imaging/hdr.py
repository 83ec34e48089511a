"""HDR and wide-gamut colours as those of SDR BT.709; numbers of tags are those of ITU-T H.273."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput

PQ, HLG, SRGB, UNTAGGED, BT709, BT2020 = 16, 18, 13, 2, 1, 9
HDR = {PQ: "PQ", HLG: "HLG"}
SDR = {1: "BT.709", 6: "BT.601", SRGB: "sRGB", 14: "BT.2020", 15: "BT.2020"}
"""Transfer characteristics that are converted."""
RGB_MATRIX = 0
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
"""Weights of red and blue in Y' by matrix coefficients: BT.709, BT.601 and BT.2020 of non-constant luminance."""
OTHER_MATRICES = {8: "YCgCo", 10: "constant-luminance BT.2020", 13: "constant-luminance", 14: "ICtCp"}
"""Matrix coefficients that are refused in every video."""
D65 = 0.3127, 0.3290
PRIMARIES = {
    BT709: ("BT.709", ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))),
    BT2020: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    12: ("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
}
"""Name and chromaticities x, y of red, green and blue; white is D65."""
REFERENCE_WHITE = 203.0
"""Luminance of HDR reference white in cd/m^2 (ITU-R BT.2408), for which the highest SDR value stands."""
PEAK = 1000.0
"""Luminance of the brightest HDR pixels in cd/m^2 (nominal peak of ITU-R BT.2100 HLG); PQ above it is clipped."""
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
"""The constants of SMPTE ST 2084."""
SDR_GAMMA = 2.4
"""ITU-R BT.1886 with a black of zero."""
_ADVICE = "convert it to BT.709 with another program first"


def pq_to_luminance(signal: NDArray) -> NDArray:
    """Luminance in cd/m^2 of PQ signals from 0 to 1 (EOTF of SMPTE ST 2084)."""
    root = signal ** (1 / M2)
    return 10_000 * (np.maximum(root - C1, 0) / (C2 - C3 * root)) ** (1 / M1)


def luminance_to_pq(luminance: NDArray) -> NDArray:
    """The inverse of `pq_to_luminance`."""
    root = (luminance / 10_000) ** M1
    return ((C1 + C2 * root) / (1 + C3 * root)) ** M2


def hlg_to_scene(signal: NDArray) -> NDArray:
    """Scene light from 0 to 1 of HLG signals from 0 to 1 (inverse OETF of ITU-R BT.2100, Table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def srgb_to_linear(signal: NDArray) -> NDArray:
    """Linear light from 0 to 1 of sRGB signals from 0 to 1 (IEC 61966-2-1)."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def compressed(luminance: NDArray) -> NDArray:
    """Luminance of an HDR display of `PEAK` on an SDR display of `REFERENCE_WHITE`, both with a black of zero.

    The EETF of ITU-R BT.2390, section 5.4.1: in PQ values relative to the peak, unchanged below the knee
    KS = 1.5 maxLum - 0.5, a Hermite spline above it.
    """
    peak, white = luminance_to_pq(np.array([PEAK, REFERENCE_WHITE]))
    most = white / peak
    knee = 1.5 * most - 0.5
    signal = np.minimum(luminance_to_pq(luminance) / peak, 1)
    t = np.maximum(signal - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return np.where(signal < knee, luminance, pq_to_luminance(spline * peak))


def to_xyz(primaries: int) -> NDArray:
    """(3, 3), from linear RGB to CIE XYZ (SMPTE RP 177); the second row is luminance."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*PRIMARIES[primaries][1], D65)]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


def to_bt709(primaries: int) -> NDArray:
    """(3, 3), from linear RGB of these primaries to linear RGB of BT.709 (ITU-R BT.2087 for those of BT.2020)."""
    return np.linalg.solve(to_xyz(BT709), to_xyz(primaries))


def rgb_of(ycbcr: Any, matrix: int, full_range: bool, bits: int) -> NDArray[np.float32]:
    """R'G'B' from 0 to 1 (h, w, 3) of Y'CbCr whose `bits` are the upper ones of 16 (ITU-R BT.2100, Table 9)."""
    values = ycbcr.astype(np.float32) / 256
    top = 256 - 2.0 ** (8 - bits)
    low, luma, chroma = (0.0, top, top) if full_range else (16.0, 219.0, 224.0)
    y, cb, cr = (values[..., 0] - low) / luma, (values[..., 1] - 128) / chroma, (values[..., 2] - 128) / chroma
    kr, kb = LUMA[matrix]
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], -1).clip(0, 1)


@dataclass(frozen=True)
class WideColours:
    """Colours of a video that BT.709 does not hold."""

    transfer: int
    primaries: int
    matrix: int

    @classmethod
    def of(cls, transfer: int, primaries: int, matrix: int) -> WideColours | None:
        """By the tags of a video; None where they are those of SDR with about the primaries of BT.709.

        Raises `BadInput` for wide colours whose transfer, primaries or matrix is not converted.
        """
        if matrix in OTHER_MATRICES:
            raise BadInput(f"{OTHER_MATRICES[matrix]} video is not converted; {_ADVICE}")
        if primaries == 11:  # their white is not D65
            raise BadInput(f"video with the primaries of DCI-P3 is not converted; {_ADVICE}")
        if primaries == UNTAGGED and (transfer in (PQ, HLG, 14, 15) or matrix == BT2020):
            primaries = BT2020  # the only ones that these standards have
        if transfer not in HDR and (primaries not in PRIMARIES or primaries == BT709):
            return None
        if matrix == UNTAGGED:
            matrix = BT2020 if primaries == BT2020 else BT709
        if transfer not in HDR and transfer not in SDR:
            have = "no tag of its transfer" if transfer == UNTAGGED else f"transfer {transfer} of H.273"
            name = PRIMARIES[primaries][0]
            raise BadInput(f"video with the primaries of {name} and {have} is not converted; {_ADVICE}")
        if primaries not in PRIMARIES or (matrix not in LUMA and matrix != RGB_MATRIX):
            have = f"primaries {primaries} and matrix {matrix} of H.273"
            raise BadInput(f"{(HDR | SDR)[transfer]} video with {have} is not converted; {_ADVICE}")
        return cls(transfer, primaries, matrix)

    def __str__(self) -> str:
        return f"{(HDR | SDR)[self.transfer]} video with the primaries of {PRIMARIES[self.primaries][0]}"

    def to_sdr(self, rgb: NDArray) -> NDArray[np.uint8]:
        """R'G'B' from 0 to 1 (h, w, 3) as 8-bit BT.709, for a display of ITU-R BT.1886.

        HDR is compressed by its largest component, in the same ratio for all three, so that the hue stays. Colours
        outside BT.709 are clipped in linear light.
        """
        light = self._light(rgb) @ self._matrix.T
        return np.rint(255 * light.clip(0, 1) ** np.float32(1 / SDR_GAMMA)).astype(np.uint8)

    def _light(self, rgb: NDArray) -> NDArray:
        """Linear light of the SDR display, 0 to 1, in the primaries of the video."""
        if self.transfer == SRGB:
            return srgb_to_linear(rgb)
        if self.transfer not in HDR:
            return rgb**SDR_GAMMA
        if self.transfer == PQ:
            luminance = pq_to_luminance(rgb)
        else:  # the OOTF of BT.2100, Table 5, of a display of 1000 cd/m^2: gamma is 1.2
            scene = hlg_to_scene(rgb)
            luminance = PEAK * scene * (scene @ to_xyz(self.primaries)[1].astype(np.float32))[..., None] ** 0.2
        largest = np.maximum(luminance.max(-1, keepdims=True), np.float32(1e-6))
        return luminance * (compressed(largest) / largest / REFERENCE_WHITE).astype(np.float32)

    @cached_property
    def _matrix(self) -> NDArray[np.float32]:
        return to_bt709(self.primaries).astype(np.float32)
