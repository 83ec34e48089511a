"""Translating at the size of the training images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.data_sets import make_model
from unpaired import Translator
from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage, read_image, to_array, to_pixels, write_image
from unpaired.imaging.metadata import NODATA, Metadata
from unpaired.imaging.pixels import NoData
from unpaired.inference import Options, translate_files
from unpaired.inference.scale import advice, is_much_larger, train_size


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def own(model):
    return Translator.load(model)


@pytest.fixture(scope="module")
def train(model):
    return Translator.load(model, scale="train")


def photo(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


@pytest.mark.parametrize(
    ("preprocess", "size"),
    [
        ("resize_and_crop", (256, 256)),  # test.py of the official code sets load_size to crop_size
        ("scale_width", (286, 256)),  # 143 in proportion; test.py, too, makes it at least crop_size high
        ("scale_width_and_crop", (286, 256)),
        ("crop", (800, 400)),
        ("none", (800, 400)),
    ],
)
def test_the_training_size_follows_the_preprocessing(preprocess, size):
    cfg = DataConfig(preprocess=preprocess)
    assert train_size(cfg, 800, 400) == size
    assert is_much_larger(cfg, 800, 400) == (preprocess not in ("crop", "none"))
    assert not is_much_larger(cfg, 512, 200)


def test_the_training_size_of_two_sides_is_width_and_height():
    cfg = DataConfig(load_size="572x286", crop_size="512x256")
    assert train_size(cfg, 300, 900) == (512, 256)
    assert is_much_larger(cfg, 500, 513) and not is_much_larger(cfg, 1024, 512)
    assert advice(cfg, 1).startswith("1 image is over twice the training size (512x256)")


def test_the_network_sees_the_image_resized_as_by_pillow_and_its_answer_is_the_output(own, train):
    side = own.bundle.experiment.data.crop_size
    pixels = photo(90, 120)
    small = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    out = train.translate_decoded(DecodedImage(pixels)).pixels
    assert out.shape == (side, side, 3)
    np.testing.assert_array_equal(out, to_pixels(own.runtime(to_array(small)[None])[0]))
    assert train(Image.fromarray(pixels)).size == (side, side)
    assert own(Image.fromarray(pixels)).size == (120, 90)
    assert train.to("BtoA").scale == own.at("train").scale == "train" and train.at("own").scale == "own"
    with pytest.raises(BadInput, match="scale: this model is an exported file, which keeps no training size"):
        replace(own, bundle=None).at("train")


def test_alpha_nodata_and_metadata_follow_the_size(train):
    side = train.bundle.experiment.data.crop_size
    alpha = np.zeros((2 * side, 2 * side, 1), np.uint8)
    alpha[side:] = 255
    where = np.zeros((2 * side, 2 * side), bool)
    where[: side // 2] = True
    geo = ((33550, 12, 3, (1.0, 1.0, 0.0)), (NODATA, 2, 2, "7"))
    about = Metadata(resolution=(100.0, 100.0, 2), geo=geo)
    decoded = DecodedImage(photo(2 * side, 2 * side), alpha, about, NoData(where, 7))
    out = train.translate_decoded(decoded)
    assert out.alpha is not None and out.alpha.shape == (side, side, 1)
    assert (out.alpha[: side // 2 - 2] == 0).all() and (out.alpha[side // 2 + 2 :] == 255).all()
    assert (out.pixels[: side // 4] == 7).all() and not (out.pixels[side // 4 :] == 7).all(axis=2).any()
    assert out.about.resolution == (50.0, 50.0, 2) and out.about.geo == geo[1:]
    assert out.about.lost == ("georeference (the image was resized)",)


def test_files_far_larger_than_in_training_are_counted_in_one_line(own, train, tmp_path, capsys):
    side = own.bundle.experiment.data.crop_size
    (tmp_path / "in").mkdir()
    for name, height in (("a", 2 * side), ("b", 2 * side + 1), ("c", 3 * side)):
        write_image(DecodedImage(photo(height, side)), tmp_path / f"in/{name}.png")
    translate_files(own, str(tmp_path / "in"), tmp_path / "own")
    advice = f"2 images are over twice the training size ({side}x{side}); --scale train takes that size"
    assert advice in capsys.readouterr().err.splitlines()
    translate_files(train, str(tmp_path / "in"), tmp_path / "train")
    assert "training size" not in capsys.readouterr().err
    shapes = [read_image(tmp_path / f"{name}/c.png").pixels.shape[:2] for name in ("own", "train")]
    assert shapes == [(3 * side, side), (side, side)]


def test_what_needs_the_own_size_is_refused(train, tmp_path):
    write_image(DecodedImage(photo(20, 20)), tmp_path / "a.png")
    for options in (Options(mask=tmp_path / "a.png"), Options(tile=64)):
        with pytest.raises(BadInput, match="--scale train changes the size of images"):
            translate_files(train, str(tmp_path / "a.png"), tmp_path / "out", options)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(BadInput, match="videos keep their size"):
        translate_files(train, str(tmp_path / "a.mp4"), tmp_path / "out")
    with pytest.raises(BadInput, match="keeps no training size"):
        (tmp_path / "a.onnx").write_bytes(b"")
        Translator.load(tmp_path / "a.onnx", scale="train")
    assert replace(train, scale="own").translate_decoded(read_image(tmp_path / "a.png")).pixels.shape == (20, 20, 3)
