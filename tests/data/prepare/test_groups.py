"""Groups, bad images and names of domains in `prepare folders`."""

import json

import numpy as np
import pytest
from PIL import Image

from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.data.heldout import open_held_out
from unpaired.data.manifest import domain_names
from unpaired.data.prepare.folders import prepare_folders


def patients(root, count=8, each=5, form="patient{p:02}/{k:03}.png"):
    for side in "AB":
        for p in range(count):
            for k in range(each):
                path = root / side / form.format(p=p, k=k)
                path.parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng((ord(side), p, k))
                Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return root / "A", root / "B"


def of(data, part, cut):
    return {path.relative_to(data / part).as_posix()[:cut] for path in (data / part).rglob("*.png")}


def test_sub_folders_stay_on_one_side_of_the_split_in_both_domains(tmp_path, capsys):
    a, b = patients(tmp_path / "in")
    manifest = prepare_folders(tmp_path / "data", a, b)
    test = of(tmp_path / "data", "testA", 9) | of(tmp_path / "data", "testB", 9)
    train = of(tmp_path / "data", "trainA", 9) | of(tmp_path / "data", "trainB", 9)
    assert test and train and not test & train
    held_out = open_held_out(tmp_path / "data")
    assert len(held_out.a) == 5 and set(held_out.groups("A") or ()) == {
        f"group {next(iter(of(tmp_path / 'data', 'testA', 9)))}"
    }
    assert manifest.facts["rule"]["groups"] == 8 and "warning" not in capsys.readouterr().err


def test_names_that_look_grouped_are_warned_of_and_a_pattern_keeps_them_together(tmp_path, capsys):
    a, b = patients(tmp_path / "in", form="patient{p:02}_slice{k}.png")
    prepare_folders(tmp_path / "one", a, b)
    assert of(tmp_path / "one", "testA", 9) & of(tmp_path / "one", "trainA", 9)
    said = capsys.readouterr().err
    assert "warning: names of A look grouped (patient00, patient01, patient02, ...)" in said and "--group" in said
    prepare_folders(tmp_path / "two", a, b, group=r"(patient\d+)")
    assert not of(tmp_path / "two", "testA", 9) & of(tmp_path / "two", "trainA", 9)
    assert "warning" not in capsys.readouterr().err
    for pattern, words in (("(", "not a regular expression"), ("person", "found in no name, such as patient00_slice0")):
        with pytest.raises(BadInput, match=words):
            prepare_folders(tmp_path / "three", a, b, group=pattern)


def test_bad_images_are_left_out_by_name_and_domains_get_names(tmp_path, capsys):
    a, b = patients(tmp_path / "in", count=1)
    (a / "patient00/bad.png").write_bytes(b"no image")
    (a / "notes.txt").write_text("x")
    command = ["prepare", "folders", str(tmp_path / "data"), "--a", str(a), "--b", str(b)]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "bad.png: not a JPEG" in said and "--on-bad-image skip" in said
    assert run([*command, "--on-bad-image", "skip", "--name-a", "horses", "--name-b", "zebras"]) == 0
    said = capsys.readouterr().err
    assert "left out: 1 of 11 images cannot be used: " in said and "not images by name: notes.txt" in said
    facts = json.loads((tmp_path / "data/dataset.json").read_text())
    assert domain_names(facts) == ("horses", "zebras") and sum(facts["counts"].values()) == 10


@pytest.mark.parametrize(("share", "expected"), [("0.1", "4 independent"), ("0.3", "12 independent"), ("0.8", "")])
def test_too_few_test_images_are_told_before_the_training(tmp_path, capsys, share, expected):
    a, b = patients(tmp_path / "in", count=40, each=1, form="{p:02}.png")
    assert run(["prepare", "folders", str(tmp_path / "data"), "--a", str(a), "--b", str(b), "--test-share", share]) == 0
    said = capsys.readouterr().err
    assert expected in said and ("larger --test-share" in said) == bool(expected)
