import itertools
import json
import math

import numpy as np
import pytest
from PIL import Image

from unpaired.data.manifest import read_manifest
from unpaired.data.prepare.earth import prepare_earth
from unpaired.data.prepare.earth_labels import PALETTE, earth_labels, painted

NUMBER = {name: k for k, name in enumerate(PALETTE)}
SIZE, GLOBE, STRIDE = 32, 720, 16


def plain(colour):
    """A 9 x 9 image of one colour."""
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


def test_every_class_has_a_colour_far_from_the_others():
    assert all(math.dist(a, b) >= 100 for a, b in itertools.combinations(PALETTE.values(), 2))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    out = tmp_path_factory.mktemp("earth") / "pairs"
    prepare_earth(out, "satellite-labels", SIZE, GLOBE, STRIDE, aligned=True)
    return out


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_label_images_hold_the_palette_alone_and_agree_with_the_label_maps(pairs):
    facts = read_manifest(pairs)
    palette = facts["palette"]
    assert palette["domain"] == "B" and list(palette["classes"]) == list(PALETTE) == facts["rule"]["labels"]
    seen = set()
    for name in names(pairs / "testB"):
        labels = np.asarray(Image.open(pairs / "labels/test" / name))
        image = np.asarray(Image.open(pairs / "testB" / name))
        assert np.array_equal(image, np.asarray(painted(labels)))
        seen |= set(np.unique(labels))
    assert seen == set(range(len(PALETTE)))


@pytest.mark.slow
def test_in_an_aligned_set_both_training_folders_show_the_places_that_were_dealt_to_either(pairs, tmp_path):
    prepare_earth(tmp_path / "apart", "satellite-labels", SIZE, GLOBE, STRIDE)
    either = sorted(names(tmp_path / "apart/trainA") + names(tmp_path / "apart/trainB"))
    assert names(pairs / "trainA") == names(pairs / "trainB") == either
    assert not set(names(pairs / "trainA")) & set(names(pairs / "testA"))
    for folder in ("testA", "testB"):
        assert names(pairs / folder) == names(tmp_path / "apart" / folder)


def shown(pairs):
    """Every photo's pixels beside the class numbers of its labels, each (n, ...)."""
    photos, classes = [], []
    for name in names(pairs / "testA"):
        photos.append(np.asarray(Image.open(pairs / "testA" / name)).astype(int).reshape(-1, 3))
        classes.append(np.asarray(Image.open(pairs / "labels/test" / name)).ravel())
    return np.concatenate(photos), np.concatenate(classes)


def test_a_photo_and_its_labels_show_the_same_coast(pairs):
    photos, classes = shown(pairs)
    blue, water = photos[:, 2] - photos[:, 0] >= 8, np.isin(classes, [NUMBER["deep sea"], NUMBER["shallow water"]])
    assert (blue == water).mean() > 0.9


def test_a_photo_read_by_its_nearest_colours_is_no_label_image(pairs):
    photos, classes = shown(pairs)
    read = ((photos[:, None] - np.array(list(PALETTE.values()))) ** 2).sum(2).argmin(1)
    ious = [((read == k) & (classes == k)).sum() / ((read == k) | (classes == k)).sum() for k in range(len(PALETTE))]
    assert np.mean(ious) < 0.1  # as good as guessing; natural colours reach 0.45


def test_the_labels_are_told_to_whoever_reads_the_manifest(pairs):
    text = (pairs / "dataset.json").read_text()
    assert json.loads(text)["palette"]["classes"]["ice"] == [107, 142, 35]
