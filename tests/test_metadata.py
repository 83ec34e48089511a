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


TIFF_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
USUAL_TYPE = {
    **{33550: 12, 33922: 12, 34264: 12, 34735: 3, 34736: 12, 34737: 2, 42113: 2, 34665: 4, 34853: 4, 700: 1, 34675: 7},
    **{274: 3, 282: 5, 283: 5, 296: 3, **dict.fromkeys((269, 270, 271, 272, 285, 305, 306, 315, 33432), 2)},
}
"""Every tag that is kept beside the pixels, with the type it should have."""
CONTENTS = (
    *(b"\0", b"1", "ü€".encode(), "ü".encode("latin1") * 9, b"\xff" * 40, b"\0" * 40, b"-9999\0", b"9" * 400),
    *(struct.pack("<3d", *[np.nan] * 3), struct.pack("<6d", *[1e308] * 6), struct.pack("<II", 1, 0)),
    *(struct.pack("<II", 2**32 - 1, 1), b"GDAL\0text\0", struct.pack("<H", 7), bytes(range(41))),
)


def tiff_of(tags, order="<"):
    """An 8x8 RGB file with these tags beside, {tag: (type, bytes)}, whatever they hold; and its pixels."""
    pixels = np.arange(192, dtype=np.uint8)
    numbers = {256: 8, 257: 8, 258: 8, 259: 1, 262: 2, 277: 3, 278: 8, 279: 192}
    every = {code: (3, struct.pack(order + "H", value)) for code, value in numbers.items()} | tags
    every[258] = (3, struct.pack(order + "3H", 8, 8, 8))
    behind = 8 + 2 + 12 * (len(every) + 1) + 4
    every[273] = (4, struct.pack(order + "I", behind))
    table, values = struct.pack(order + "H", len(every)), pixels.tobytes()
    for code, (kind, data) in sorted(every.items()):
        where = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", behind + len(values))
        values += data if len(data) > 4 else b""
        table += struct.pack(order + "HHI", code, kind, len(data) // TIFF_TYPES[kind]) + where
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + table + bytes(4) + values, pixels.reshape(8, 8, 3)


@pytest.mark.slow
def test_no_tag_of_any_type_and_content_ends_the_writing_and_what_is_not_written_is_named():
    rng = np.random.default_rng(0)
    for _ in range(80):
        codes = rng.choice(list(USUAL_TYPE), rng.integers(1, 6), replace=False)
        kinds = [USUAL_TYPE[code] if rng.random() < 0.5 else rng.choice(list(TIFF_TYPES)) for code in codes]
        contents = [CONTENTS[k] for k in rng.integers(len(CONTENTS), size=len(codes))]
        tags = {int(code): (int(kind), data) for code, kind, data in zip(codes, kinds, contents, strict=True)}
        data, pixels = tiff_of(tags, "<>"[rng.integers(2)])
        decoded = read_image(data)
        for suffix in (".tif", ".png", ".jpg", ".webp", ".bmp"):
            again = read_image(encode_image(decoded, suffix))
            if suffix != ".jpg" and 274 not in tags and decoded.nodata is None:
                np.testing.assert_array_equal(again.pixels, pixels, err_msg=f"{suffix} {tags}")
        with tifffile.TiffFile(io.BytesIO(encode_image(decoded, ".tif"))) as after:
            for code in [code for code in GEO if code in tags]:
                named = any(str(code) in words or "turned" in words for words in decoded.about.lost)
                assert named != (code in after.pages[0].tags), tags


@pytest.mark.parametrize("code", GEO)
def test_a_geotiff_tag_of_a_wrong_type_is_left_out_and_named_and_the_others_are_kept(code, tmp_path):
    kind, count, value = GEO[code]
    wrong = (12, 1, 1.5) if kind != 12 else (2, 0, "ten")
    tags = [(33550 if code != 33550 else 33922, 12, 3, (10.0, 10.0, 0.0), True), (code, *wrong, True)]
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), extratags=tags, metadata=None)
    decoded = read_image(tmp_path / "a.tif")
    assert decoded.about.lost == (f"GeoTIFF tag {code} (of a wrong type)",)
    with tifffile.TiffFile(io.BytesIO(encode_image(decoded, ".tif"))) as after:
        assert after.pages[0].tags[tags[0][0]].value == (10.0, 10.0, 0.0)
        assert code not in after.pages[0].tags


def test_text_that_is_not_ascii_stays_the_same_text():
    data, _ = tiff_of({34737: (2, "Höhe über Null|\0".encode()), 315: (2, "Jürgen\0".encode())})
    with tifffile.TiffFile(io.BytesIO(encode_image(read_image(data), ".tif"))) as after:
        assert after.pages[0].tags[34737].value == "Höhe über Null|" and after.pages[0].tags[315].value == "Jürgen"


@pytest.mark.parametrize("beside", [{282: (5, struct.pack("<II", 1, 0))}, {296: (3, struct.pack("<H", 7))}])
def test_a_resolution_that_is_none_is_left_out_and_named(beside):
    sound = {282: (5, struct.pack("<II", 300, 1)), 283: (5, struct.pack("<II", 300, 1)), 296: (3, b"\2\0")}
    decoded = read_image(tiff_of(sound | beside)[0])
    assert decoded.about.resolution is None and decoded.about.lost == ("resolution (not a size)",)


def test_a_resolution_finer_than_a_jpeg_holds_is_kept_elsewhere_and_named_there():
    tags = {code: (5, struct.pack("<II", 100_000, 1)) for code in (282, 283)} | {296: (3, struct.pack("<H", 3))}
    decoded = read_image(tiff_of(tags)[0])
    assert decoded.about.dropped(".jpg") == ("resolution",) and decoded.about.dropped(".png") == ()
    assert read_image(encode_image(decoded, ".jpg")).about.resolution is None
    assert read_image(encode_image(decoded, ".png")).about.resolution == pytest.approx((254_000, 254_000, 2))


def test_blocks_of_no_sense_in_other_formats_end_no_writing():
    rng = np.random.default_rng(0)
    junk = (
        b"\xff" * 100,
        b"II*\0\x08\0\0\0" + bytes(range(40)),
        bytes(12) + b"mntrRGB XYZ " + bytes(200),
        bytes(70_000),
    )
    image = shapes("A", 1)
    for name in ("JPEG", "PNG", "WEBP"):
        for _ in range(8):
            options = {key: junk[rng.integers(4)] for key in ("exif", "icc_profile", "xmp") if rng.random() < 0.6}
            buffer = io.BytesIO()
            if len(options.get("exif", b"")) + len(options.get("xmp", b"")) < 60_000 or name != "JPEG":
                image.save(buffer, name, dpi=(float(rng.choice([0.001, 72, 7e4, 1e7])),) * 2, **options)
                decoded = read_image(buffer.getvalue())
                for suffix in (".tif", ".png", ".jpg", ".webp", ".bmp", ".gif", ".ppm"):
                    assert read_image(encode_image(decoded, suffix)).pixels.shape == (image.height, image.width, 3)
