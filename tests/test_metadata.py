"""What files say beside their pixels: put there by one library, read back by another."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from tests.data_sets import make_model, shapes
from unpaired import Translator
from unpaired.imaging.exif import Entry, read_exif, write_exif
from unpaired.imaging.images import DecodedImage, encode_image, read_image
from unpaired.inference import translate_files

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
GEO = {
    33550: (12, 3, (10.0, 10.0, 0.0)),
    33922: (12, 6, (0.0, 0.0, 0.0, 600_000.0, 5_100_000.0, 0.0)),
    34735: (3, 8, (1, 1, 0, 1, 1024, 0, 1, 1)),
    34736: (12, 2, (6378137.0, 298.25)),
    34737: (2, 12, "WGS 84 / UTM"),
    42113: (2, 2, "0"),
}
SUFFIXES = [".jpg", ".png", ".webp", ".tif"]


def camera_exif(orientation=6):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif.get_ifd(0x8769).update({0x9003: "2020:01:02 03:04:05", 0x829A: (1, 125)})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 8.5)})
    return exif


def photo(**options):
    buffer = io.BytesIO()
    shapes("A", 1).save(buffer, "JPEG", exif=camera_exif(), icc_profile=PROFILE, dpi=(300, 300), xmp=PACKET, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return Translator.load(make_model(tmp_path_factory.mktemp("model")))


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_photo_says_is_found_by_others_in_every_format(suffix, deep):
    if deep and suffix in (".jpg", ".webp"):
        pytest.skip("8 bits only")
    read = read_image(photo())
    pixels = read.pixels.astype(np.uint16) * 257 if deep else read.pixels
    image = opened(encode_image(DecodedImage(pixels, None, read.about), suffix))
    exif = image.getexif()
    assert image.info["icc_profile"] == PROFILE
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05" and exif.get_ifd(0x8769)[0x829A] == (1, 125)
    assert exif.get_ifd(0x8825)[1] == "N" and exif.get_ifd(0x8825)[2] == (47.0, 22.0, 8.5)
    assert image.info["xmp"] == PACKET.replace(b'"6"', b'"1"')
    if suffix != ".webp":
        assert [float(each) for each in image.info["dpi"]] == pytest.approx([300, 300], rel=1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_turned_photo_is_brought_upright_once_and_says_so(translator, suffix):
    data = encode_image(translator.translate_decoded(read_image(photo())), suffix)
    image = opened(data)
    assert image.size == (36, 40)
    assert image.getexif().get(0x0112, 1) == 1
    assert read_image(data).pixels.shape == (40, 36, 3)


def test_the_thumbnail_of_the_untranslated_image_is_left_out():
    exif = camera_exif()
    exif.get_ifd(1).update({0x0201: 0, 0x0202: 0})  # the directory of thumbnails
    block = exif.tobytes()
    assert struct.unpack_from("<I", write_exif(read_exif(block)), 8 + 2 + 12 * 4)[0] == 0


def test_exif_of_the_other_byte_order_means_the_same():
    block = struct.pack(">2sHIH", b"MM", 42, 8, 2)
    block += struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(">HHII", 0x011A, 5, 1, 38) + struct.pack(">I", 0)
    block += struct.pack(">II", 300, 1)
    assert read_exif(block) == {
        0x0112: Entry(3, struct.pack("<H", 6)),
        0x011A: Entry(5, struct.pack("<II", 300, 1)),
    }


@pytest.mark.parametrize("cut", range(0, 180, 7))
def test_a_damaged_block_is_lost_and_said_and_the_image_kept(cut):
    block = camera_exif().tobytes()[:cut]
    buffer = io.BytesIO()
    shapes("A", 1).save(buffer, "PNG", exif=block)
    about = read_image(buffer.getvalue()).about
    assert about.exif is None
    assert about.lost == (("EXIF (damaged)",) if cut else ())


def geotiff(path, **options):
    pixels = np.random.default_rng(0).integers(0, 65536, (24, 20, 3), np.uint16)
    tags = [(code, kind, 0 if kind == 2 else count, value, True) for code, (kind, count, value) in GEO.items()]
    tifffile.imwrite(
        path, pixels, photometric="rgb", extratags=tags, resolution=(118.11, 118.11, "CENTIMETER"), **options
    )


def test_a_georeference_and_a_resolution_are_kept_tag_by_tag(translator, tmp_path):
    geotiff(tmp_path / "in.tif", compression="lzw")
    translate_files(translator, str(tmp_path / "in.tif"), tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "in.tif") as before, tifffile.TiffFile(tmp_path / "out.tif") as after:
        for code in (*GEO, 282, 283, 296):
            assert after.pages[0].tags[code].value == before.pages[0].tags[code].value, code
        assert after.pages[0].dtype == np.uint16


def test_a_format_that_cannot_hold_something_is_said_in_one_line(translator, tmp_path, capsys):
    for name in ("1.tif", "2.tif"):
        (tmp_path / "in").mkdir(exist_ok=True)
        geotiff(tmp_path / "in" / name)
    translate_files(translator, str(tmp_path / "in"), tmp_path / "out")
    assert "not taken along" not in capsys.readouterr().err
    translate_files(translator, str(tmp_path / "in/1.tif"), tmp_path / "1.png")
    assert "1 file: not taken along into .png: georeference" in capsys.readouterr().err
    (tmp_path / "photo.jpg").write_bytes(photo())
    translate_files(translator, str(tmp_path / "photo.jpg"), tmp_path / "photo.bmp")
    assert "1 file: not taken along into .bmp: colour profile, EXIF, XMP" in capsys.readouterr().err


def test_a_profile_of_other_channels_is_not_kept(tmp_path):
    gray = Translator.load(make_model(tmp_path, 3, 1))
    out = gray.translate_decoded(read_image(photo()))
    assert out.about.icc == b"" and out.about.lost == ("colour profile (of other channels)",)
    assert out.about.exif


def test_a_program_s_own_words_about_the_layout_are_not_repeated(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb", metadata={"a": 1})
    tifffile.imwrite(
        tmp_path / "b.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb", description="mine", metadata=None
    )
    assert 270 not in (read_image(tmp_path / "a.tif").about.exif or {})
    assert (read_image(tmp_path / "b.tif").about.exif or {})[270] == Entry(2, b"mine\0")
    again = encode_image(read_image(tmp_path / "b.tif"), ".tif")
    with tifffile.TiffFile(io.BytesIO(again)) as tiff:
        assert tiff.pages[0].description == "mine"
