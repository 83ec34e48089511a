"""TIFFs in every compression that an installed reader has, small and read in blocks."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.images import read_image
from unpaired.inference import streams

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)
KINDS = {"uint8": PIXELS, "uint16": PIXELS.astype(np.uint16) * 257, "float32": (PIXELS / 255).astype(np.float32)}
CASES = [
    *((name, kind) for name in ("jpeg2000", "png") for kind in ("uint8", "uint16")),
    *(("lerc", kind) for kind in KINDS),
    ("webp", "uint8"),
]


def tiff(pixels, compression, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", compression=compression, metadata=None, **options)
    return buffer.getvalue()


def in_blocks(path):
    stream = streams.open_stream(path)
    pixels = np.zeros(stream.shape, stream.dtype)
    stream.pour(lambda: pixels)
    return pixels


@pytest.mark.parametrize("layout", [{"tile": (32, 32)}, {"rowsperstrip": 16}])
@pytest.mark.parametrize(("compression", "kind"), CASES)
def test_image_codecs_in_a_tiff_are_read_at_every_size(tmp_path, monkeypatch, compression, kind, layout):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(KINDS[kind], compression, **layout))
    np.testing.assert_array_equal(read_image(path).pixels, KINDS[kind])
    monkeypatch.setattr(streams, "IN_MEMORY", 0)
    np.testing.assert_array_equal(in_blocks(path), KINDS[kind])


@pytest.mark.parametrize("again", ["deflate", "zstd"])
def test_lerc_that_is_compressed_again_is_read(again):
    data = tiff(KINDS["float32"], "lerc", compressionargs={"compression": again})
    np.testing.assert_array_equal(read_image(data).pixels, KINDS["float32"])


@pytest.mark.parametrize("compression", ["jpeg2000", "png", "lerc", "webp"])
def test_a_strip_larger_than_the_tiff_says_is_not_decoded(compression, monkeypatch):
    data = bytearray(tiff(PIXELS, compression))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        for code in (256, 257, 278):
            struct.pack_into("<I" if int(page.tags[code].dtype) == 4 else "<H", data, page.tags[code].valueoffset, 16)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)  # nothing gets that far
    with pytest.raises(BadInput, match="not the size that the TIFF says"):
        read_image(bytes(data))


@pytest.mark.parametrize("compression", ["jpeg2000", "png", "lerc", "webp"])
def test_damaged_strips_are_refused_in_a_line(compression):
    data = tiff(PIXELS, compression)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, count = file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]
    rng = np.random.default_rng(0)
    for _ in range(60):
        bad = bytearray(data)
        for place in rng.integers(start, start + min(count, 60), 3):
            bad[place] = rng.integers(256)
        try:
            assert read_image(bytes(bad)).pixels.shape == PIXELS.shape
        except BadInput as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_compression_that_nothing_reads_is_named(kind):
    with pytest.raises(BadInput, match="compressed by JPEGXL, which is not read; save it with deflate"):
        read_image(tiff(KINDS[kind], "jpegxl"))


def ycbcr(across, down, compression=1):
    """A TIFF of 4x4 in YCbCr: one red and one blue difference for each block of pixels."""
    units = b""
    for row in range(0, 4, down):
        for column in range(0, 4, across):
            bright = [100 + 10 * (4 * y + x) for y in range(row, row + down) for x in range(column, column + across)]
            units += bytes(bright) + (bytes([128, 178]) if row < 2 else bytes([178, 128]))
    data = zlib.compress(units) if compression == 8 else units
    numbers = {256: 4, 257: 4, 259: compression, 262: 6, 273: 8 + 2 + 10 * 12 + 4 + 6, 277: 3, 278: 4, 279: len(data)}
    entries = {code: struct.pack("<HHIHH", code, 3, 1, value, 0) for code, value in numbers.items()}
    entries[258] = struct.pack("<HHII", 258, 3, 3, 8 + 2 + 10 * 12 + 4)
    entries[530] = struct.pack("<HHIHH", 530, 3, 2, across, down)
    table = struct.pack("<H", 10) + b"".join(entries[code] for code in sorted(entries)) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + table + struct.pack("<3H", 8, 8, 8) + data


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (2, 2), (1, 2)])
def test_ycbcr_has_the_colours_of_its_differences_at_every_size(tmp_path, monkeypatch, across, down, compression):
    path = tmp_path / "a.tif"
    path.write_bytes(ycbcr(across, down, compression))
    bright = (100 + 10 * np.arange(16)).reshape(4, 4, 1).astype(float)
    red, blue = np.array([1.402 * 50, -0.714136 * 50, 0]), np.array([0, -0.344136 * 50, 1.772 * 50])
    expected = np.concatenate([bright[:2] + red, bright[2:] + blue]).clip(0, 255)
    assert np.abs(read_image(path).pixels - expected).max() <= 1.5
    monkeypatch.setattr(streams, "IN_MEMORY", 0)
    assert np.abs(in_blocks(path) - expected).max() <= 1.5


def test_what_libvips_does_not_read_is_read_as_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "IN_MEMORY", 0)
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(PIXELS).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(in_blocks(tmp_path / "a.bmp"), PIXELS)
    np.testing.assert_array_equal(in_blocks(tmp_path / "a.jpg"), read_image(tmp_path / "a.jpg").pixels)
