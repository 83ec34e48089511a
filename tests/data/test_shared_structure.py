import numpy as np
import pytest
import torch
from PIL import Image

from unpaired.data.heldout import open_held_out
from unpaired.data.shared_structure import chance_of_agreement


def scene(seed, size=64):
    """Blocks of random size and gray."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((size, size), np.uint8)
    for _ in range(12):
        top, left, height, width = rng.integers(0, size, 4)
        pixels[top : top + height, left : left + width] = rng.integers(30, 226)
    return pixels


def folders(root, a, b, name="{:03d}.png"):
    for side, scenes in (("A", a), ("B", b)):
        (root / f"test{side}").mkdir(parents=True)
        for k, pixels in enumerate(scenes):
            Image.fromarray(pixels).convert("RGB").save(root / f"test{side}" / name.format(k))
    return root


def recoloured(pixels):
    """Other gray levels, one by one: edges stay where they are."""
    return np.random.default_rng(9).permutation(256).astype(np.uint8)[pixels]


def test_numbered_files_of_other_places_are_not_taken_for_pairs(tmp_path):
    held_out = open_held_out(folders(tmp_path, map(scene, range(12)), map(scene, range(50, 62))))
    assert not held_out.aligned
    assert held_out.decided == "names match one to one, but the images of a pair share no more edges than others do"
    assert open_held_out(tmp_path, "yes").aligned


def test_numbered_files_of_the_same_places_are_pairs_whatever_their_colours(tmp_path):
    held_out = open_held_out(folders(tmp_path, map(scene, range(12)), (recoloured(scene(k)) for k in range(12))))
    assert held_out.aligned and "share their edges" in held_out.decided
    assert not open_held_out(tmp_path, "no").aligned


def test_a_few_images_cannot_show_that_they_are_pairs(tmp_path):
    held_out = open_held_out(folders(tmp_path, map(scene, range(5)), map(scene, range(5))))
    assert not held_out.aligned and "fewer than 6 images" in held_out.decided


def test_the_chance_of_agreement_counts_permutations():
    perfect = torch.eye(6)
    assert chance_of_agreement(perfect) == pytest.approx(1 / 720, abs=2e-3)
    assert chance_of_agreement(torch.ones(6, 6)) == 1
    assert chance_of_agreement(1 - perfect) > 0.9
