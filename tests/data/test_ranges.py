"""Black and white of float, signed and 12-bit files; pixels without data."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data_sets import shapes, tiny
from unpaired.checkpoints.bundle import load_bundle
from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.data.checks import examine
from unpaired.data.ranges import domain_of, found_range, values_of
from unpaired.imaging.images import read_image, to_array, write_image
from unpaired.imaging.pixels import DecodedImage, NoData
from unpaired.imaging.values import Domain, ValueRange, restored
from unpaired.inference.translator import Translator
from unpaired.training import train
from unpaired.training.samples import read_sample


def make(root, low, high, dtype, count=6):
    """Gray images whose values go from low to high, under all four names."""
    for part in ("trainA", "trainB", "testA", "testB"):
        (root / part).mkdir(parents=True)
        for k in range(count):
            unit = np.asarray(shapes(part[-1], k).convert("L")).astype(float) / 255
            unit.flat[:2] = (0, 1)
            values = low + unit * (high - low)
            tifffile.imwrite(
                root / part / f"{k}.tif", np.rint(values).astype(dtype) if dtype != "float32" else values.astype(dtype)
            )
    return root


@pytest.mark.parametrize(
    ("low", "high", "dtype", "expected"),
    [
        (-10, 10, "float32", "-10,10,float32"),
        (0, 1400, "float32", "0,1400,float32"),
        (1000, 1400, "uint16", "1000,1400,uint16"),
        (-1000, 2000, "int16", "-1000,2000,int16"),
        (0, 1, "float32", ""),  # full scale
        (0, 60000, "uint16", ""),
        (0, 255, "uint8", ""),
    ],
)
def test_black_and_white_are_the_least_and_largest_training_value_unless_full_scale_fits(
    tmp_path, low, high, dtype, expected
):
    diagnosis = examine(
        make(tmp_path, low, high, dtype), cfg=DataConfig(channels_a=1, channels_b=1, load_size=36, crop_size=32)
    )
    assert diagnosis.ok and diagnosis.ranges == ({"A": expected, "B": expected} if expected else {})
    assert not [f for f in diagnosis.findings if f.reason == "blank"]


def test_percentiles_leave_out_a_hot_pixel_and_fixed_changes_nothing():
    pixels = np.linspace(0, 100, 64 * 64, dtype=np.float32).reshape(64, 64, 1)
    pixels[0, 0] = 1e6
    values = [values_of(pixels)]
    assert found_range(values, "auto") == ValueRange(0.024420024827122688, 1e6)
    low, high = (q := found_range(values, "percentile")).black, q.white
    assert 0 <= low < 1 and high > 1e3  # one of 256 sampled values is the hot pixel itself
    pixels[0, 0], pixels[0, 1] = 0, 1e6  # not sampled
    assert found_range([values_of(pixels)], "percentile").white == pytest.approx(99.5, abs=1)
    assert found_range(values, "fixed") is None


@pytest.mark.slow
def test_training_validation_and_translation_see_the_same_values_and_output_is_in_the_units_of_b(tmp_path):
    root = make(tmp_path / "data", -1000, 2000, "int16")
    for path in (root / "trainB").iterdir():
        tifffile.imwrite(path, (tifffile.imread(path) * 0.1 + 100).astype(np.float32))
    experiment = tiny(root, data__channels_a=1, data__channels_b=1, data__preprocess="none", optim__steps=2)
    run = train(experiment, tmp_path / "run")
    data = load_bundle(run).experiment.data
    assert (data.range_a, data.range_b) == ("-1000,2000,int16", "0,300,float32")
    file = root / "testA/0.tif"
    translator = Translator.load(run, "AtoB")
    seen = translator.prepare(read_image(file))
    np.testing.assert_allclose(seen, (tifffile.imread(file)[None] + 1000) / 1500 - 1, atol=1e-5)
    np.testing.assert_array_equal(seen, to_array(domain_of(data, "A").read(file)))
    np.testing.assert_array_equal(seen, read_sample(file, "A", data).numpy())
    out = translator.translate_decoded(read_image(file))
    assert out.pixels.dtype == np.float32 and 0 <= out.pixels.min() and out.pixels.max() <= 300 and not out.about.lost
    back = Translator.load(run, "BtoA").translate_decoded(out)
    assert back.pixels.dtype == np.int16
    write_image(back, tmp_path / "back.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "back.tif").pixels, back.pixels)


def test_values_outside_are_clipped_with_a_word_that_tells_how_much():
    domain = Domain(1, ValueRange(0, 100))
    decoded = read_image(tiff(np.array([[0, 50], [100, 300]], np.float32)))
    np.testing.assert_array_equal(domain.pixels(decoded)[..., 0], [[0, 0.5], [1, 1]])
    assert domain.clipped(decoded) == "values outside 0 to 100 (25% of the image, clipped)"
    assert Domain(1).clipped(read_image(tiff(np.ones((2, 2), np.float32)))) == ""
    with pytest.raises(BadInput, match=r"signed 16-bit values have no known black and white; set data\.range-a"):
        Domain(1).pixels(read_image(tiff(np.ones((2, 2), np.int16))))


def tiff(array, nodata=None):
    import io

    tags = [(42113, "s", 0, nodata, True)] if nodata else []
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, extratags=tags)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("nodata", "tag"), [(-9999.0, "-9999"), (np.nan, None), (np.nan, "nan"), (-1.7e308, "-1.7e308")]
)
def test_pixels_without_data_are_filled_with_the_median_and_restored(nodata, tag):
    values = np.arange(16, dtype=np.float64 if nodata < -1e40 else np.float32).reshape(4, 4)
    values[0] = nodata
    decoded = read_image(tiff(values, tag))
    assert decoded.nodata is not None and decoded.nodata.where[0].all() and not decoded.nodata.where[1:].any()
    np.testing.assert_array_equal(decoded.pixels[1:, :, 0], values[1:].astype(np.float32))
    assert (decoded.pixels[0] == 9.5).all()  # the median of 4 to 15
    again, lost = restored(decoded.pixels, decoded.nodata)
    if nodata < -1e40:
        assert "no-data value -1.7e+308" in lost
    else:
        np.testing.assert_array_equal(again[..., 0], values)


def test_a_value_for_no_data_may_be_given_and_an_image_without_data_is_refused():
    pixels = np.full((4, 4), 7, np.uint16)
    pixels[2:] = 65535
    decoded = Domain(1, nodata=65535).marked(read_image(tiff(pixels)))
    assert (decoded.pixels == 7).all() and decoded.nodata.where.sum() == 8
    with pytest.raises(BadInput, match="no pixel has data"):
        read_image(tiff(np.full((4, 4), np.nan, np.float32)))
    with pytest.raises(BadInput, match="infinite"):
        read_image(tiff(np.full((4, 4), np.inf, np.float32)))


@pytest.mark.parametrize("text", ["1", "2,1", "a,b", "0,inf", "0,1,int64"])
def test_a_range_that_makes_no_sense_is_refused_by_its_setting(text):
    with pytest.raises(BadInput, match=r"data\.range_a: expected"):
        domain_of(DataConfig(range_a=text), "A")


def test_a_range_is_written_and_read_alike():
    for text in ("-1000,2000,int16", "0.1,0.3,float32"):
        assert str(ValueRange.parse(text, "x")) == text
    assert ValueRange.parse("0,5", "x") == ValueRange(0, 5, "float32")


def test_gray_images_read_as_three_channels_are_noted_with_the_flag_that_keeps_one(tmp_path):
    for part, shape in (("trainA", (40, 40)), ("trainB", (40, 40, 3))):
        (tmp_path / part).mkdir()
        for k in range(3):
            pixels = np.random.default_rng(k).integers(0, 256, shape, np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / f"{k}.png")
    (note,) = (note for note in examine(tmp_path, 1).notes if "1 channel" in note)
    assert note.startswith("trainA: ") and "--data.channels-a 1" in note
    assert not any("1 channel" in note for note in examine(tmp_path, 1, DataConfig(channels_a=1)).notes)


def folders_of(root, arrays):
    for part in ("trainA", "trainB"):
        (root / part).mkdir(parents=True)
        for k, array in enumerate(arrays):
            tifffile.imwrite(root / part / f"{k}.tif", array)
    return root


def test_files_of_several_types_have_one_range_and_a_line_says_so(tmp_path):
    """As slices of one scanner with and without a rescale slope: whole numbers and floats in one unit."""
    grid = np.linspace(0, 1, 36 * 36).reshape(36, 36)
    whole = [np.rint(grid * 700 + k).astype(np.uint16) for k in range(6)]
    root = folders_of(tmp_path, [*whole, *(np.float32(grid * 720) for _ in range(3))])
    diagnosis = examine(root, cfg=DataConfig(channels_a=1, channels_b=1, load_size=36, crop_size=32))
    assert diagnosis.ranges == {"A": "0,720,float32", "B": "0,720,float32"}
    assert any("several types (6 of uint16, 3 of float32) count in one unit" in note for note in diagnosis.notes)


def test_files_of_8_bits_keep_their_full_scale_beside_others_and_whatever_the_range(tmp_path):
    deep = [np.linspace(100, 4000, 36 * 36).reshape(36, 36).astype(np.uint16)] * 5
    light = np.linspace(0, 255, 36 * 36).reshape(36, 36).astype(np.uint8)
    cfg = DataConfig(channels_a=1, channels_b=1, load_size=36, crop_size=32)
    assert examine(folders_of(tmp_path / "mixed", [*deep, light]), cfg=cfg).ranges["A"] == "100,4000,uint16"
    domain = Domain(1, ValueRange(-1000, 976, "int16"))
    decoded = read_image(tmp_path / "mixed/trainA/5.tif")
    np.testing.assert_array_equal(domain.pixels(decoded), decoded.pixels)
    assert domain.clipped(decoded) == ""
    asked = Domain(1, ValueRange(0, 127.5, "uint8")).pixels(decoded)
    assert asked.max() == 1 and asked[10, 10] == pytest.approx(float(light[10, 10]) / 127.5)
    folders_of(tmp_path / "light", [light] * 5)
    for given, counted in (
        ("-1000,2000", "-1000 is black, 2000 white"),
        ("10,100,uint16", "0 is black, 255 white"),
        ("-1000,976,int16", "0 is black, 255 white"),
    ):
        told = examine(tmp_path / "light", cfg=replace(cfg, range_a=given))
        assert any(f"trainA: all files have 8 bits, of which {counted}" in note for note in told.notes)


def test_black_and_white_given_without_a_type_hold_for_files_of_every_type():
    for black, white, dtype in ((0, 1, "int16"), (0, 1, "uint16"), (0, 100, "uint8"), (0, 1, "float32")):
        domain = Domain(1, ValueRange.parse(f"{black},{white}", "data.range_a"))
        pixels = np.array([[black, white]], dtype)[..., None]
        np.testing.assert_array_equal(domain.pixels(DecodedImage(pixels)).ravel(), [0, 1])


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint16", -2000), ("uint8", -2000), ("int16", 70000), ("uint16", np.nan)]
)
def test_pixels_without_data_never_hold_what_a_network_made_of_them(dtype, value):
    where = np.zeros((4, 4), bool)
    where[:2] = True
    pixels = np.full((4, 4, 1), 77, dtype)
    filled, words = restored(pixels, NoData(where, value))
    least = np.iinfo(dtype).min
    assert (filled[:2] == least).all() and (filled[2:] == 77).all() and f"{least} in its place" in words
