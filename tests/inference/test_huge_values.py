"""Images in tiles have the ranges, no-data and notes of images in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from tests.data_sets import make_model
from unpaired import Translator
from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage, read_image, write_image
from unpaired.inference import Options, translate_files
from unpaired.inference.huge import translate_huge
from unpaired.inference.nodata import Gaps, find_gaps, median

NODATA = 42113


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    return Translator.load(make_model(tmp_path_factory.mktemp("gray"), 1, 1))


def with_data(translator, **settings):
    """The model as trained with other settings of the data."""
    experiment = translator.bundle.experiment
    experiment = replace(experiment, data=replace(experiment.data, **settings))
    return replace(translator, bundle=replace(translator.bundle, experiment=experiment))


def terrain(dtype, low, high):
    values = np.random.default_rng(0).random((90, 110)) * (high - low) + low
    return values.astype(dtype)


def write(path, pixels, nodata=None):
    tags = [] if nodata is None else [(NODATA, "s", 0, nodata, True)]
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None, extratags=tags)
    return path


CASES = {
    "range": (terrain(np.float32, -20, 20), None, {"range_a": "-10,10", "range_b": "0,500,uint16"}, 1),
    "signed": (terrain(np.int16, -1000, 3000), None, {"range_a": "-1000,2000", "range_b": "-5,5"}, 0.002),
    "12 bits": (terrain(np.uint16, 100, 3000), None, {"range_a": "0,4095,uint16", "range_b": "0,4095,uint16"}, 1),
    "file's tag": (terrain(np.float32, 0, 1), "-9999", {}, 1e-4),
    "NaN": (terrain(np.float32, 0, 1), "nan", {}, 1e-4),
    "tag of integers": (terrain(np.uint16, 1, 65000), "0", {}, 5),
    "setting": (terrain(np.float32, 0, 1), None, {"nodata": -9999.0}, 1e-4),
    "unheld": (terrain(np.float32, 0, 1), "-9999", {"range_b": "0,200,uint8"}, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_tiles_give_the_values_the_gaps_and_the_notes_of_the_whole_image(gray, tmp_path, name, capsys):
    pixels, tag, settings, unit = CASES[name]
    value = settings.get("nodata", float(tag) if tag else None)
    if value is not None:
        pixels = pixels.copy()
        pixels[:20] = pixels[40:60, 3:9] = value
    source, translator = write(tmp_path / "in.tif", pixels, tag), with_data(gray, **settings)
    whole = translator.translate_decoded(read_image(source))
    lost = translate_huge(translator, source, tmp_path / "out.tif", tile=64, quiet=True).lost
    assert lost == whole.about.lost
    out = tifffile.imread(tmp_path / "out.tif")
    assert out.dtype == whole.pixels.dtype
    np.testing.assert_allclose(out, whole.pixels[..., 0], atol=unit, rtol=0)
    if value is not None and name != "unheld":
        same = np.isnan if np.isnan(value) else lambda pixels: pixels == value
        np.testing.assert_array_equal(same(out), same(whole.pixels[..., 0]))
        assert same(out)[same(pixels)].all()
    translate_files(translator, str(source), tmp_path / "again", Options(tile=64))
    assert all(words in capsys.readouterr().err for words in lost)


def test_an_image_without_data_and_signed_values_without_a_range_are_refused(gray, tmp_path):
    write(tmp_path / "none.tif", np.full((80, 80), 7, np.uint8), "7")
    write(tmp_path / "signed.tif", terrain(np.int16, -5, 5))
    for name, words in (("none.tif", "no pixel has data"), ("signed.tif", "no known black and white")):
        with pytest.raises(BadInput, match=words):
            translate_huge(gray, tmp_path / name, tmp_path / "out.tif", tile=64, quiet=True)


def test_outside_a_mask_pixels_without_data_stay_so_in_memory_and_in_tiles(gray, tmp_path):
    pixels = terrain(np.float32, 0, 1)
    pixels[:20] = -9999
    source = write(tmp_path / "in.tif", pixels, "-9999")
    inside = np.zeros((90, 110, 1), np.uint8)
    inside[10:50] = 1  # a label
    write_image(DecodedImage(inside), tmp_path / "mask.tif")
    for name, options in (("whole", Options()), ("tiles", Options(tile=64))):
        translate_files(gray, str(source), tmp_path / name, replace(options, mask=tmp_path / "mask.tif"))
        out = tifffile.imread(tmp_path / name / "in.tif")
        assert (out[:20] == -9999).all() and (out[20:50] != pixels[20:50]).mean() > 0.9
        np.testing.assert_array_equal(out[50:], pixels[50:])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("rows", [9, 10])
def test_the_median_on_disk_is_numpys(dtype, rows):
    rng = np.random.default_rng(rows)
    pixels = (rng.normal(size=(rows, 7, 2)) * 1000).astype(dtype)
    where = np.zeros((rows, 7), bool)
    where[0] = True
    pixels[0] = 77
    pixels[1, 0] = (77, 78)  # not in all channels
    found = median(lambda: iter(np.array_split(pixels, 4)), 77)
    expected = np.median(pixels[(pixels != 77).any(axis=2)], axis=0).astype(dtype)
    assert found == tuple(float(value) for value in expected)


def test_the_files_own_value_comes_before_that_of_the_settings():
    pixels = np.array([[[1.0], [2], [3], [4]]], np.float32)
    assert find_gaps(lambda: iter([pixels]), (1.0, 2.0)) == Gaps(1.0, (3.0,))
    assert find_gaps(lambda: iter([pixels]), (9.0, 2.0)) == Gaps(2.0, (3.0,))
    assert find_gaps(lambda: iter([pixels]), (np.nan, None)) is None
