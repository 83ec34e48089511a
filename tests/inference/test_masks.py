from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.data_sets import make_model, shapes
from unpaired import Translator
from unpaired.core.errors import BadInput
from unpaired.imaging.images import read_image
from unpaired.inference import Options, translate_files
from unpaired.inference.masks import weights


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return Translator.load(make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def scene(tmp_path):
    """Three images, one mask per image with a disc in it, and the discs."""
    rows, columns = np.mgrid[:36, :40]
    discs = {}
    for number, name in enumerate(("1.png", "a/2.png", "a/3.png")):
        for folder in ("in", "masks"):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        shapes("A", number).save(tmp_path / "in" / name)
        discs[name] = (rows - 18) ** 2 + (columns - 12 - 5 * number) ** 2 < 100
        Image.fromarray(discs[name].astype(np.uint8) * 255).save((tmp_path / "masks" / name).with_suffix(".bmp"))
    return tmp_path, discs


def distance(mask, row, column):
    """To the nearest pixel outside, by looking at all of them."""
    rows, columns = np.nonzero(~mask)
    return np.sqrt((rows - row) ** 2 + (columns - column) ** 2).min()


@pytest.mark.parametrize("feather", [0, 1, 4, 9])
def test_a_weight_is_the_distance_to_the_outside_in_units_of_the_feather(feather):
    rng = np.random.default_rng(0)
    mask = np.ones((30, 35), bool)
    mask[rng.integers(0, 30, 9), rng.integers(0, 35, 9)] = False
    found = weights(mask, feather)
    for row in range(30):
        for column in range(35):
            assert found[row, column] == pytest.approx(min(distance(mask, row, column) / (feather + 1), 1), abs=1e-6)


def test_the_border_of_the_image_is_no_edge():
    assert weights(np.ones((5, 6), bool), 3).min() == 1 and weights(np.zeros((5, 6), bool), 3).max() == 0


@pytest.mark.parametrize("feather", [0, 5])
def test_outside_of_the_mask_every_pixel_is_untouched_and_deep_inside_translated(translator, scene, feather):
    root, discs = scene
    translate_files(translator, str(root / "in"), root / "out", Options(mask=root / "masks", feather=feather))
    for name, disc in discs.items():
        before, after = read_image(root / "in" / name).pixels, read_image(root / "out" / name).pixels
        whole = translator.translate_decoded(read_image(root / "in" / name)).pixels
        np.testing.assert_array_equal(after[~disc], before[~disc])
        inside = weights(disc, feather) == 1
        assert inside.any()
        np.testing.assert_array_equal(after[inside], whole[inside])
        between = disc & ~inside
        assert between.any() == (feather > 0)
        low, high = np.minimum(before, whole)[between], np.maximum(before, whole)[between]
        assert ((low <= after[between]) & (after[between] <= high)).all()


def test_one_mask_serves_all_and_a_folder_may_be_flat(translator, scene):
    root, discs = scene
    translate_files(translator, str(root / "in"), root / "one", Options(mask=root / "masks/1.bmp"))
    disc = discs["1.png"]
    before, after = (read_image(root / folder / "a/2.png").pixels for folder in ("in", "one"))
    np.testing.assert_array_equal(after[~disc], before[~disc])
    translate_files(translator, str(root / "in/a/*.png"), root / "flat", Options(mask=root / "masks/a"))
    np.testing.assert_array_equal(after.shape, read_image(root / "flat/2.png").pixels.shape)


def test_masks_that_are_missing_or_of_another_size_are_named_and_the_others_written(translator, scene):
    root, _ = scene
    (root / "masks/1.bmp").unlink()
    Image.new("L", (9, 9)).save(root / "masks/a/2.bmp")
    with pytest.raises(BadInput, match="2 of 3 files") as caught:
        translate_files(translator, str(root / "in"), root / "out", Options(mask=root / "masks"))
    assert "1.png: no mask of this name" in str(caught.value)
    assert "2.png: the mask has 9x9 pixels, the image 40x36" in str(caught.value)
    assert [path.name for path in (root / "out").rglob("*.png")] == ["3.png"]


def test_a_mask_that_is_nowhere_is_refused_before_anything_is_read(translator, scene):
    root, _ = scene
    with pytest.raises(BadInput, match="expected a mask image, or a folder of masks"):
        translate_files(translator, str(root / "in"), root / "out", Options(mask=root / "nowhere"))
    assert not (root / "out").exists()


def test_a_model_that_changes_the_channels_cannot_leave_pixels_alone(scene, tmp_path):
    root, _ = scene
    gray = Translator.load(make_model(tmp_path / "gray", 3, 1))
    with pytest.raises(BadInput, match="turns 3 channels into 1"):
        translate_files(gray, str(root / "in/1.png"), root / "out", Options(mask=root / "masks/1.bmp"))


@pytest.mark.parametrize("options", [{}, {"tile": 64}])
def test_a_mask_that_selects_nothing_is_named_and_the_image_stays(translator, tmp_path, capsys, options):
    Image.fromarray(np.arange(70 * 80 * 3, dtype=np.uint8).reshape(70, 80, 3)).save(tmp_path / "in.png")
    Image.new("L", (80, 70), 0).save(tmp_path / "mask.png")
    mask = tmp_path / "mask.png"
    translate_files(translator, str(tmp_path / "in.png"), tmp_path / "out.png", Options(mask=mask, **options))
    assert f"{mask}: this mask selects nothing" in capsys.readouterr().err
    np.testing.assert_array_equal(read_image(tmp_path / "out.png").pixels, read_image(tmp_path / "in.png").pixels)


def test_a_mask_of_0_and_1_selects_the_same_in_tiles(translator, tmp_path):
    Image.fromarray(np.arange(70 * 80 * 3, dtype=np.uint8).reshape(70, 80, 3)).save(tmp_path / "in.png")
    inside = np.zeros((70, 80), np.uint8)
    inside[20:50, 10:60] = 1
    for name, top in (("01", 1), ("255", 255)):
        Image.fromarray(inside * top).save(tmp_path / f"m{name}.png")
        options = Options(mask=tmp_path / f"m{name}.png", tile=64)
        translate_files(translator, str(tmp_path / "in.png"), tmp_path / f"{name}.png", options)
    assert (tmp_path / "01.png").read_bytes() == (tmp_path / "255.png").read_bytes()
    changed = read_image(tmp_path / "01.png").pixels != read_image(tmp_path / "in.png").pixels
    assert changed[20:50, 10:60].any(axis=2).mean() > 0.9 and not changed[inside == 0].any()
