"""Image files of every kind that data sets hold: good ones, and ones that are malformed or odd."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from unpaired.imaging.exif import ORIENTATION
from unpaired.imaging.images import DecodedImage, encode_image

SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".bmp")
ODD_NAMES = (
    "new\nline.png",
    "ünïcode 画像.png",
    "  spaces .png",
    "-rf.png",
    "tab\t.png",
    "UPPER.PNG",
    "esc\x1b[31m.png",
)


def scene(seed: int, height: int = 24, width: int = 32, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """An image of noise over a slope, (h, w, c): no two seeds alike, never blank, below full scale."""
    rng = np.random.default_rng(seed)
    values = rng.random((height, width, channels)) * 0.5 + np.linspace(0, 0.4, width)[None, :, None]
    return values.astype(dtype) if np.dtype(dtype).kind == "f" else (values * np.iinfo(dtype).max).astype(dtype)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def write_good(folder: Path, number: int, first_seed: int = 0) -> None:
    """`number` sound RGB images of 8 bits in all five formats."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        suffix = SUFFIXES[i % len(SUFFIXES)]
        (folder / f"good{i:03}{suffix}").write_bytes(encode_image(DecodedImage(scene(first_seed + i)), suffix))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int, height: int, depth: int = 8, extra: bytes = b"") -> bytes:
    """An RGB PNG that declares its size and has next to no pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(bytes(64))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + body


def raw_tiff(tags: dict[int, int], data: bytes = bytes(64)) -> bytes:
    """A little-endian TIFF of one page: `tags`, absurd ones too, over those of an 8x8 gray image of 16 bits."""
    usual = {256: 8, 257: 8, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted((usual | tags).items()))
    return (
        b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries) // 12) + entries + bytes(4)
    )


def circular(content: bytes) -> bytes:
    """A TIFF whose last page is followed by its first."""
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[len(tiff.pages) - 1].offset
    end = last + 2 + 12 * struct.unpack_from("<H", content, last)[0]
    return content[:end] + struct.pack("<I", first) + content[end + 4 :]


def turned(orientation: int, upright: np.ndarray) -> np.ndarray:
    """What a camera held by that EXIF orientation stores of `upright`."""
    turns = {1: (), 2: ("lr",), 3: ("lr", "ud"), 4: ("ud",), 5: ("t",), 6: ("t", "ud"), 7: ("t", "lr", "ud")}
    pixels = upright
    for step in turns.get(orientation, ("t", "lr")):
        pixels = {"t": lambda p: p.transpose(1, 0, 2), "lr": lambda p: p[:, ::-1], "ud": lambda p: p[::-1]}[step](
            pixels
        )
    return np.ascontiguousarray(pixels)


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block.tobytes()


def hostile() -> Iterator[tuple[str, bytes]]:
    """(name, content) of files that must be refused."""
    decoded = Image.fromarray(scene(1))
    whole = {suffix: encode_image(DecodedImage(scene(2)), suffix) for suffix in SUFFIXES}
    whole[".16.png"] = encode_image(DecodedImage(scene(3, dtype=np.uint16)), ".png")
    whole[".16.tif"] = encode_image(DecodedImage(scene(3, dtype=np.uint16)), ".tif")
    for suffix, content in whole.items():
        for twentieth in range(19):
            yield f"cut{twentieth:02}{suffix}", content[: len(content) * twentieth // 20]
    yield "empty.webp", b""
    yield "page.jpg", b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
    yield "text.png", b"not an image\n"
    yield "pcx.png", encoded(decoded, "PCX")
    yield "eps.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"
    yield "psd.png", b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 24, 32, 8, 3) + bytes(64)
    yield "fits.png", b"SIMPLE  =                    T".ljust(2880)
    yield "bomb.png", png_header(50_000, 50_000)
    yield "bomb16.png", png_header(50_000, 50_000, depth=16)
    yield "bomb.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 118, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield "bomb.webp", b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\x50\xc3\x00" * 2
    yield "zero.png", png_header(0, 10)
    yield "zero16.png", png_header(0, 10, depth=16)
    yield "wide.tif", raw_tiff({256: 2**31 - 1, 257: 2**31 - 1})
    yield "channels.tif", raw_tiff({277: 60_000})
    yield "tile.tif", raw_tiff({322: 2**20, 323: 2**20, 324: 8, 325: 64})
    yield "volume.tif", raw_tiff({32997: 2**30})
    yield "strips.tif", raw_tiff({257: 10_000, 259: 8, 278: 1})
    yield "unpacks.tif", raw_tiff({259: 8}, zlib.compress(bytes(2**22)))
    for number, kind in {
        2: {"imagej": True},
        4: {"photometric": "minisblack"},
        150: {"photometric": "minisblack"},
    }.items():
        pages = np.stack([scene(k, channels=1)[..., 0] for k in range(number)])
        yield f"circle{number}.tif", circular(tiff(pages, metadata={"axes": "CYX"}, **kind))
    yield "offset.tif", raw_tiff({273: 2**32 - 1})
    yield "int32.tif", tiff(scene(4, channels=1)[..., 0].astype(np.int32))
    yield "nan.tif", tiff(np.full((24, 32), np.nan, np.float32))
    yield "dot.png", encoded(Image.new("RGB", (1, 1)), "PNG")
    yield "line.png", encoded(Image.effect_noise((20_000, 1), 64).convert("RGB"), "PNG")


def odd() -> Iterator[tuple[str, bytes]]:
    """(name, content) of unusual files that must be read, all as RGB of 8 bits."""
    decoded = Image.fromarray(scene(5))
    yield "really-a-jpeg.png", encoded(decoded, "JPEG")
    yield "really-a-png.jpg", encoded(decoded, "PNG")
    yield "cmyk.jpg", encoded(decoded.convert("CMYK"), "JPEG")
    yield "palette.png", encoded(decoded.quantize(16), "PNG")
    yield "palette-clear.png", encoded(decoded.quantize(16), "PNG", transparency=bytes([0, 128, 255]))
    yield "alpha.png", encoded(decoded.convert("RGBA"), "PNG")
    yield "progressive.jpg", encoded(decoded, "JPEG", progressive=True)
    yield "animated.webp", encoded(decoded, "WEBP", save_all=True, append_images=[decoded.rotate(180)])
    yield "animated.png", encoded(decoded, "PNG", save_all=True, append_images=[decoded.rotate(180)])
    yield (
        "bad-exif.jpg",
        encoded(decoded, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\xff\xff\xff\xff"),
    )
    for orientation in range(1, 9):
        yield f"exif{orientation}.jpg", encoded(decoded, "JPEG", exif=exif(orientation))


def write_hostile(folder: Path) -> set[str]:
    """Every hostile file, and links and folders with the names of images; the names written."""
    folder.mkdir(parents=True, exist_ok=True)
    names = set()
    for name, content in hostile():
        (folder / name).write_bytes(content)
        names.add(name)
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    return names | {"dangling.png", "loop.png", "folder.png", "pipe.png"}
