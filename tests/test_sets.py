"""`metrics`: two folders in, numbers out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.evaluation.sets import compare_sets, with_intervals


def folder(path, seed, count=8, blur=0, suffix=".png"):
    draws = np.random.default_rng(seed)
    path.mkdir()
    for k in range(count):
        levels = draws.integers(0, 256, (6, 6, 3), np.uint8)
        image = Image.fromarray(levels).resize((48, 48), Image.Resampling.BICUBIC if blur else Image.Resampling.NEAREST)
        image.save(path / f"{k}{suffix}")
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return {
        "real": folder(root / "real", 0),
        "like": folder(root / "like", 1),
        "blurred": folder(root / "b", 2, blur=1),
    }


def test_sets_that_differ_are_farther_apart_than_sets_of_one_kind(sets):
    like, blurred = (compare_sets(sets[name], sets["real"]) for name in ("like", "blurred"))
    assert blurred["fd"] > 1.5 * like["fd"]
    assert blurred["kid"] > like["kid"]
    assert like["n"] == {"fake": 8, "real": 8}
    assert "fid" not in like
    assert any("n = 8" in note for note in like["notes"])
    assert any("not FID as published" in note for note in like["notes"])


def test_jpeg_fakes_are_warned_of(sets, tmp_path):
    jpegs = folder(tmp_path / "jpegs", 3, suffix=".jpg")
    assert any("JPEG" in note for note in compare_sets(jpegs, sets["real"])["notes"])


def test_the_command_prints_json_and_keeps_it(sets, tmp_path, capsys):
    out = tmp_path / "numbers.json"
    assert run(["metrics", str(sets["like"]), str(sets["real"]), "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads(out.read_text())
    assert {"fd", "kid", "kid_std", "precision", "recall", "density", "coverage"} <= set(printed)


def test_every_image_that_cannot_be_judged_is_named(sets, tmp_path):
    mixed = folder(tmp_path / "mixed", 4)
    for name in ("x.png", "y.png"):
        (mixed / name).write_text("no image")
    with pytest.raises(BadInput, match=r"2 of 10 images cannot be scored: .*x\.png.*y\.png"):
        compare_sets(mixed, sets["real"])


def test_too_few_images_and_no_folder_are_refused(sets, tmp_path):
    with pytest.raises(BadInput, match="more than 5 images, found 3"):
        compare_sets(folder(tmp_path / "few", 5, count=3), sets["real"])
    with pytest.raises(BadInput, match="expected a folder of images, found nothing"):
        compare_sets(tmp_path / "none", sets["real"])


def test_intervals_cover_the_mean_of_new_images_about_as_often_as_they_say():
    draws, covered = np.random.default_rng(0), 0
    for _ in range(200):
        fake, real = draws.standard_normal((40, 1)), draws.standard_normal((40, 1))
        _, spans = with_intervals(fake, real, lambda a, b: {"apart": float(a.mean() - b.mean()) + 10})
        covered += spans["apart"]["low"] <= 10 <= spans["apart"]["high"]
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("images", [10, 11, 12])
def test_ten_images_have_intervals(tmp_path, images):
    numbers = compare_sets(*(folder(tmp_path / str(k), k, count=images) for k in range(2)))
    assert {"fd", "kid"} <= set(numbers["intervals"])
    assert ("precision" in numbers["intervals"]) == (images == 12)  # a half must have more than five
