import itertools
import json

import numpy as np
import pytest
from PIL import Image

from unpaired.data.manifest import read_manifest
from unpaired.data.prepare.earth import prepare_earth
from unpaired.data.prepare.earth_labels import PALETTE, earth_labels, painted

NUMBER = {name: k for k, name in enumerate(PALETTE)}
SIZE, GLOBE, STRIDE = 32, 720, 16


def plain(colour):
    """A 9 x 9 picture of one colour."""
    return Image.new("RGB", (9, 9), colour)


@pytest.mark.parametrize(
    ("mask", "satellite", "elevation", "name"),
    [
        (0, (4, 21, 46), (20, 122, 199), "deep sea"),  # the middle of the Pacific
        (0, (28, 70, 128), (171, 216, 245), "shallow water"),  # the North Sea
        (2, (20, 30, 40), (230, 210, 170), "shallow water"),  # a lake, high up
        (1, (23, 38, 9), (46, 156, 61), "forest"),  # the Amazon
        (1, (200, 165, 120), (227, 192, 138), "dry land"),  # the Sahara
        (1, (253, 253, 253), (226, 226, 226), "ice"),  # Greenland
    ],
)
def test_places_get_the_label_that_a_map_would_give_them(mask, satellite, elevation, name):
    labels = earth_labels(np.full((9, 9), mask, np.uint8), plain(satellite), plain(elevation))
    assert (labels == NUMBER[name]).all()


def test_specks_are_voted_out_and_halves_keep_their_border():
    satellite = np.full((20, 20, 3), (23, 38, 9), np.uint8)
    satellite[:, 10:] = (200, 165, 120)
    satellite[5, 5] = (253, 253, 253)
    labels = earth_labels(np.ones((20, 20), np.uint8), Image.fromarray(satellite), Image.new("RGB", (20, 20)))
    assert (labels[:, :10] == NUMBER["forest"]).all() and (labels[:, 10:] == NUMBER["dry land"]).all()


def test_every_class_has_a_colour_far_from_the_others_and_water_is_bluer_than_land():
    colours = {name: np.array(colour) for name, colour in PALETTE.items()}
    assert all(np.linalg.norm(a - b) >= 100 for a, b in itertools.combinations(colours.values(), 2))
    bluer = {name for name, colour in colours.items() if colour[2] - colour[0] >= 25}
    assert bluer == {"deep sea", "shallow water"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    out = tmp_path_factory.mktemp("earth") / "pairs"
    prepare_earth(out, "satellite-labels", SIZE, GLOBE, STRIDE, aligned=True)
    return out


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_label_pictures_hold_the_palette_alone_and_agree_with_the_label_maps(pairs):
    facts = read_manifest(pairs)
    palette = facts["palette"]
    assert palette["domain"] == "B" and list(palette["classes"]) == list(PALETTE) == facts["rule"]["labels"]
    seen = set()
    for name in names(pairs / "testB"):
        labels = np.asarray(Image.open(pairs / "labels/test" / name))
        picture = np.asarray(Image.open(pairs / "testB" / name))
        assert np.array_equal(picture, np.asarray(painted(labels)))
        seen |= set(np.unique(labels))
    assert seen == set(range(len(PALETTE)))


def test_in_an_aligned_set_both_training_folders_show_the_places_that_were_dealt_to_either(pairs, tmp_path):
    prepare_earth(tmp_path / "apart", "satellite-labels", SIZE, GLOBE, STRIDE)
    either = sorted(names(tmp_path / "apart/trainA") + names(tmp_path / "apart/trainB"))
    assert names(pairs / "trainA") == names(pairs / "trainB") == either
    assert not set(names(pairs / "trainA")) & set(names(pairs / "testA"))
    for folder in ("testA", "testB"):
        assert names(pairs / folder) == names(tmp_path / "apart" / folder)


def test_a_photo_and_its_labels_show_the_same_coast(pairs):
    agreeing = []
    for name in names(pairs / "trainA"):
        photo = np.asarray(Image.open(pairs / "trainA" / name)).astype(int)
        labels = np.asarray(Image.open(pairs / "trainB" / name)).astype(int)
        agreeing.append(((photo[..., 2] - photo[..., 0] >= 8) == (labels[..., 2] - labels[..., 0] >= 25)).mean())
    assert np.mean(agreeing) > 0.9


def test_the_labels_are_told_to_whoever_reads_the_manifest(pairs):
    text = (pairs / "dataset.json").read_text()
    assert json.loads(text)["palette"]["classes"]["ice"] == [255, 255, 255]
