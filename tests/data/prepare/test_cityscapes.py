import numpy as np
import pytest
from PIL import Image

from tests.data.prepare.images import tree
from unpaired.core.errors import BadInput
from unpaired.data.manifest import read_manifest
from unpaired.data.prepare.cityscapes import prepare_cityscapes

PALETTE = np.array([[128, 64, 128], [244, 35, 232], [70, 70, 70], [0, 0, 142], [107, 142, 35]], np.uint8)
SCENES = {
    "train": ["aachen_000000_000019", "aachen_000001_000019", "bochum_000000_000313"],
    "val": ["lindau_000000_000019"],
}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def trees(tmp_path):
    """leftImg8bit and gtFine with four scenes of 256x128; label images carry alpha, as the real ones do."""
    rng = np.random.default_rng(0)
    left, labels = tmp_path / "leftImg8bit", tmp_path / "gtFine"
    for split, scenes in SCENES.items():
        for scene in scenes:
            place = f"{split}/{scene.partition('_')[0]}/{scene}"
            save(left / f"{place}_leftImg8bit.png", rng.integers(0, 256, (128, 256, 3), np.uint8))
            classes = np.kron(rng.integers(0, 5, (16, 32)), np.ones((8, 8), int))
            opaque = np.full((128, 256, 1), 255, np.uint8)
            save(labels / f"{place}_gtFine_color.png", np.concatenate([PALETTE[classes], opaque], axis=2))
            save(labels / f"{place}_gtFine_labelIds.png", classes.astype(np.uint8))
    return left, labels


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_training_and_validation_cities_become_train_and_test_under_the_same_names(trees, tmp_path):
    manifest = prepare_cityscapes(tmp_path / "out", *trees)
    for split, scenes in (("train", SCENES["train"]), ("test", SCENES["val"])):
        for side in "AB":
            found = sorted(path.stem for path in (tmp_path / "out" / f"{split}{side}").iterdir())
            assert found == scenes
            assert manifest.counts[f"{split}{side}"] == len(scenes)
    facts = read_manifest(tmp_path / "out")
    assert facts["aligned"] is True and facts["counts"] == manifest.counts


def test_photos_are_squeezed_bicubically_to_a_square(trees, tmp_path):
    prepare_cityscapes(tmp_path / "out", *trees)
    photo = pixels(tmp_path / "out/testA/lindau_000000_000019.png")
    with Image.open(trees[0] / "val/lindau/lindau_000000_000019_leftImg8bit.png") as source:
        expected = np.asarray(source.resize((128, 128), Image.Resampling.BICUBIC))
    assert photo.shape == (128, 128, 3)
    np.testing.assert_array_equal(photo, expected)


def test_labels_keep_exact_palette_colours_in_their_places(trees, tmp_path):
    prepare_cityscapes(tmp_path / "out", *trees, size=32)
    label = pixels(tmp_path / "out/testB/lindau_000000_000019.png")
    with Image.open(trees[1] / "val/lindau/lindau_000000_000019_gtFine_labelIds.png") as source:
        classes = np.asarray(source)
    expected = PALETTE[classes[2::4, 4::8]]  # the middle of each of 32x32 cells of 128x256
    np.testing.assert_array_equal(label, expected)


def test_the_folder_above_is_taken_for_the_tree_inside_it(trees, tmp_path):
    prepare_cityscapes(tmp_path / "one", *trees)
    prepare_cityscapes(tmp_path / "two", tmp_path, tmp_path)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_all_files_without_a_partner_are_named_at_once(trees, tmp_path):
    left, labels = trees
    (left / "train/aachen/aachen_000000_000019_leftImg8bit.png").unlink()
    (labels / "train/bochum/bochum_000000_000313_gtFine_color.png").unlink()
    save(labels / "val/munster/munster_000000_000019_gtFine_color.png", np.zeros((128, 256, 3), np.uint8))
    with pytest.raises(BadInput, match="without a partner") as caught:
        prepare_cityscapes(tmp_path / "out", left, labels)
    for name in (
        "aachen_000000_000019_gtFine_color",
        "bochum_000000_000313_leftImg8bit",
        "munster_000000_000019_gtFine",
    ):
        assert name in str(caught.value)
    assert "aachen_000001" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_all_damaged_files_are_named_at_once_and_nothing_is_left(trees, tmp_path):
    left, labels = trees
    damaged = [
        left / "train/aachen/aachen_000000_000019_leftImg8bit.png",
        labels / "train/aachen/aachen_000000_000019_gtFine_color.png",
        labels / "val/lindau/lindau_000000_000019_gtFine_color.png",
    ]
    for path in damaged[:2]:
        path.write_bytes(path.read_bytes()[:100])
    save(damaged[2], np.zeros((128, 256), np.uint8))  # gray: labels without colours
    with pytest.raises(BadInput, match="3 files cannot be used") as caught:
        prepare_cityscapes(tmp_path / "out", left, labels)
    assert all(str(path) in str(caught.value) for path in damaged)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gtFine", "leftImg8bit"]


def test_a_folder_of_another_layout_is_refused(trees, tmp_path):
    left, labels = trees
    with pytest.raises(BadInput, match="--left: expected .*train.*no such folder"):
        prepare_cityscapes(tmp_path / "out", tmp_path / "nowhere", labels)
    with pytest.raises(BadInput, match="--labels: expected .*_gtFine_color.png, found no such files"):
        prepare_cityscapes(tmp_path / "out", left, left)


@pytest.mark.parametrize("size", [0, 15, 1025])
def test_sizes_no_network_takes_or_no_original_has_are_refused(trees, tmp_path, size):
    with pytest.raises(BadInput, match=f"16 to 1024 px, got {size}"):
        prepare_cityscapes(tmp_path / "out", *trees, size=size)
