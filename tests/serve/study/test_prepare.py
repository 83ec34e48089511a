from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.data_sets import shapes
from unpaired.core.errors import BadInput
from unpaired.imaging.images import read_image
from unpaired.serve.study import open_study, prepare_study


def put(folder, numbers, domain="A", suffix=".png", names="{:02}"):
    folder.mkdir(parents=True)
    for number in numbers:
        shapes(domain, number).save(folder / (names.format(number) + suffix))
    return folder


@pytest.fixture
def folders(tmp_path):
    return put(tmp_path / "real", range(8)), put(tmp_path / "fake", range(8), "B")


def pixels(study_folder, name):
    return read_image(study_folder / "images" / f"{name}.png").pixels


def test_fakes_are_shown_beside_the_real_image_of_their_name(tmp_path, folders):
    real, fake = folders
    study = prepare_study(tmp_path / "study", real, {"ours": fake}, seed=3)
    assert len(study.pairs["ours"]) == 8
    for number, pair in enumerate(study.pairs["ours"]):
        for name, folder in zip(pair, (real, fake), strict=True):
            expected = read_image(folder / f"{number:02}.png").pixels
            np.testing.assert_array_equal(pixels(tmp_path / "study", name), expected)


def test_the_last_number_of_a_name_without_suffix_is_no_suffix(tmp_path, folders):
    """Names as DICOM UIDs are: each image has a name of its own."""
    for folder in folders:
        for number, file in enumerate(sorted(folder.iterdir())):
            file.rename(folder / f"1.2.840.{number}")
    assert len(prepare_study(tmp_path / "study", folders[0], {"ours": folders[1]}).pairs["ours"]) == 8


def test_other_names_are_paired_at_random_and_reproducibly(tmp_path):
    real, fake = put(tmp_path / "real", range(8)), put(tmp_path / "fake", range(8), "B", names="f{}")
    pairs = [prepare_study(tmp_path / f"s{k}", real, {"x": fake}, seed=k // 2).pairs["x"] for k in range(4)]
    assert pairs[0] == pairs[1] and pairs[2] == pairs[3]
    orders = [[pixels(tmp_path / f"s{k}", real).sum() for real, _ in pairs[k]] for k in (0, 2)]
    assert orders[0] != orders[1]


def test_a_study_reads_back_as_it_was_made(tmp_path, folders):
    real, fake = folders
    made = prepare_study(tmp_path / "study", real, {"a": fake, "b": real}, seed=1, exposure_ms=50, checks=2)
    assert open_study(tmp_path / "study") == made


def test_nothing_but_their_content_tells_real_from_fake(tmp_path):
    real = put(tmp_path / "real", range(4), suffix=".jpg")
    fake = put(tmp_path / "fake", range(4), "B")
    study = prepare_study(tmp_path / "study", real, {"x": fake})
    shown = [name for pair in study.pairs["x"] + study.obvious for name in pair]
    for name in shown:
        with Image.open(tmp_path / "study/images" / f"{name}.png") as image:
            assert (image.format, image.mode, image.size, image.info) == ("PNG", "RGB", (40, 36), {})
        assert len(name) == 24 and not set(name) - set("0123456789abcdef")


def test_checks_show_noise_and_flat_colours(tmp_path, folders):
    real, fake = folders
    study = prepare_study(tmp_path / "study", real, {"x": fake}, checks=4)
    spread = [pixels(tmp_path / "study", name).std((0, 1)).max() for _, name in study.obvious]
    assert [bool(value > 50) for value in spread] == [False, True, False, True]
    reals = {name for name, _ in study.pairs["x"]}
    assert {name for name, _ in study.obvious} <= reals


def test_what_cannot_be_shown_is_named_and_nothing_is_left(tmp_path, folders):
    real, fake = folders
    (fake / "bad1.png").write_bytes(b"no image")
    (fake / "bad2.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"2 of 18 images.*bad1.png.*bad2.png"):
        prepare_study(tmp_path / "study", real, {"x": fake})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fake", "real"]


def test_images_of_several_sizes_are_refused(tmp_path, folders):
    real, fake = folders
    shapes("B", 9).resize((50, 36)).save(fake / "09.png")
    with pytest.raises(BadInput, match=r"40x36 .*50x36 .*09.png"):
        prepare_study(tmp_path / "study", real, {"x": fake})


def test_an_existing_study_is_never_overwritten(tmp_path, folders):
    real, fake = folders
    prepare_study(tmp_path / "study", real, {"x": fake})
    with pytest.raises(BadInput, match="already there"):
        prepare_study(tmp_path / "study", real, {"x": fake})


@pytest.mark.parametrize(
    ("fakes", "settings", "words"),
    [
        ({}, {}, "at least one algorithm"),
        ({"real": "fake"}, {}, "none may be named"),
        ({"x": "nowhere"}, {}, "no folder"),
        ({"x": "fake"}, {"scored": 0}, "scored: expected at least 1"),
        ({"x": "fake"}, {"exposure_ms": 0}, "exposure-ms"),
    ],
)
def test_a_study_that_cannot_be_is_refused_in_a_line(tmp_path, folders, fakes, settings, words):
    fakes = {name: tmp_path / folder for name, folder in fakes.items()}
    with pytest.raises(BadInput, match=words):
        prepare_study(tmp_path / "study", folders[0], fakes, **settings)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"format": 9}), '{"format": 1}'])
def test_a_folder_that_is_no_study_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(BadInput, match="study.json"):
        open_study(tmp_path)
