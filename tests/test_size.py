"""The notations of a size in settings, and what is none."""

import pytest
import yaml

from unpaired.config import DataConfig
from unpaired.config.size import Size
from unpaired.core.errors import BadInput
from unpaired.experiment import Experiment, from_dict, to_dict, to_yaml, with_settings

DEFAULT = Experiment(name="sizes")


def crop(value, **others):
    return with_settings(DEFAULT, {"data.load_size": 2000, "data.crop_size": value, **others}).data


@pytest.mark.parametrize(
    ("value", "size", "setting"),
    [
        (256, (256, 256), 256),
        ("256", (256, 256), 256),
        ("256x256", (256, 256), 256),
        ("512x256", (512, 256), "512x256"),
        (" 512X256 ", (512, 256), "512x256"),
        ("512×256", (512, 256), "512x256"),
    ],
)
def test_a_size_is_a_side_or_width_and_height(value, size, setting):
    data = crop(value)
    assert data.crop == Size(*size) and data.crop_size == setting and str(data.crop) == str(setting)
    assert type(data.crop_size) is type(setting)


@pytest.mark.parametrize("value", [256, "512x256"])
def test_a_size_survives_yaml_and_json(value):
    experiment = with_settings(DEFAULT, {"data.load_size": 600, "data.crop_size": value})
    assert from_dict(to_dict(experiment)) == experiment
    stored = yaml.safe_load(to_yaml(experiment))
    assert stored.pop("format") == 1 and stored["data"]["crop_size"] == value and from_dict(stored) == experiment


@pytest.mark.parametrize(
    "value",
    ["", "x", "512x", "x256", "512x256x3", "512,256", "-512x256", "512x2.5", "1" * 5000, 256.5, True, [512, 256]],
)
def test_what_is_no_size_is_answered_in_one_line(value):
    with pytest.raises(
        BadInput, match=r"data\.crop_size: expected a side as 256 or WIDTHxHEIGHT as 512x256, got "
    ) as caught:
        crop(value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("load", "cut", "fits"),
    [("572x286", "512x256", True), (512, "512x256", True), (286, "512x256", False), ("572x250", "512x256", False)],
)
def test_each_side_of_the_crop_is_within_that_of_the_resized_image(load, cut, fits):
    if fits:
        assert DataConfig(load_size=load, crop_size=cut).crop == (512, 256)
        return
    with pytest.raises(ValueError, match=rf"data\.crop_size \(512x256\) must not exceed data\.load_size \({load}\)"):
        DataConfig(load_size=load, crop_size=cut)


def test_a_width_to_scale_to_is_one_number():
    with pytest.raises(
        BadInput, match=r"data\.load_size \(572x286\) must be a width alone .* scale_width_and_crop, as 572"
    ):
        crop("512x256", **{"data.load_size": "572x286", "data.preprocess": "scale_width_and_crop"})
    assert crop("512x256", **{"data.preprocess": "scale_width_and_crop"}).load.width == 2000
