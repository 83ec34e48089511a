"""The dataset doctor names every bad file with its reason, and no good one."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests import corpus
from unpaired.core.errors import BadInput, shown
from unpaired.data.checks import examine
from unpaired.data.diagnosis import Diagnosis
from unpaired.data.looks import spread
from unpaired.imaging.images import DecodedImage, read_image, write_image


@pytest.fixture
def good(tmp_path) -> Path:
    """200 sound images in all five formats, 50 in each folder."""
    for i, name in enumerate(("trainA", "trainB", "testA", "testB")):
        corpus.write_good(tmp_path / name, 50, first_seed=1000 * i)
    return tmp_path


def found(diagnosis: Diagnosis, severity: str) -> dict[str, str]:
    return {f.path: f.reason for f in diagnosis.findings if f.severity == severity}


@pytest.mark.promise("hostile images")
def test_nothing_is_said_of_200_good_files(good):
    diagnosis = examine(good)
    assert diagnosis.ok and diagnosis.findings == () and diagnosis.notes == ()
    assert {name: folder.images for name, folder in diagnosis.folders.items()} == dict.fromkeys(
        ("trainA", "trainB", "testA", "testB"), 50
    )
    assert diagnosis.folders["trainA"].widths == (32, 32, 32)
    assert diagnosis.folders["trainA"].kinds == {"3 channels, 8-bit": 50}


@pytest.mark.promise("hostile images")
def test_every_hostile_file_is_named_with_its_reason_and_no_other(good, capfd):
    names = corpus.write_hostile(good / "trainA")
    diagnosis = examine(good)
    refused = found(diagnosis, "refused")
    assert not diagnosis.ok
    assert set(refused) == {f"trainA/{name}" for name in names}
    special = {
        **{"empty.webp": "empty", "dot.png": "tiny", "line.png": "tiny", "dangling.png": "link", "loop.png": "link"},
        **{"folder.png": "not-a-file", "pipe.png": "not-a-file"},
        **{f"cut00{suffix}": "empty" for suffix in (*corpus.SUFFIXES, ".16.png", ".16.tif")},
    }
    assert refused == {f"trainA/{name}": special.get(name, "unreadable") for name in names}
    lines = list(diagnosis.lines())
    assert all(any(f"trainA/{name}: " in line for line in lines) for name in names)
    assert {line for line in capfd.readouterr().err.splitlines() if not line.startswith("check: ")} == set()


def test_messages_say_what_is_wrong(good):
    corpus.write_hostile(good / "testB")
    messages = {f.path.removeprefix("testB/"): f.message for f in examine(good).findings}
    assert "it is a web page" in messages["page.jpg"]
    assert "50000x50000 is over the limit" in messages["bomb.png"]
    assert messages["line.png"] == "20000x1; each side must have 16 pixels at least"
    assert messages["dangling.png"] == "a link to nowhere.png, which cannot be reached (No such file or directory)"
    assert messages["folder.png"].startswith("a folder with the name of an image")
    assert str(good) not in "".join(messages.values())  # the path is a field of its own


@pytest.mark.promise("hostile images")
def test_unusual_but_sound_files_are_not_refused(good):
    for name, content in corpus.odd():
        (good / "trainB" / name).write_bytes(content)
    assert found(examine(good), "refused") == {}


@pytest.mark.parametrize("name", corpus.ODD_NAMES)
def test_odd_names_are_read_and_each_finding_is_one_line(good, name):
    write_image(DecodedImage(corpus.scene(9)), good / "trainA" / "plain.png")
    (good / "trainA" / "plain.png").rename(good / "trainA" / name)
    assert examine(good).findings == ()
    (good / "trainA" / name).write_bytes(b"")
    diagnosis = examine(good)
    assert found(diagnosis, "refused") == {f"trainA/{name}": "empty"}
    assert all(line.isprintable() for line in diagnosis.lines())
    assert any(shown(f"trainA/{name}") in line for line in diagnosis.lines())


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(good):
    (good / "trainA" / "good000.png").chmod(0)
    assert found(examine(good), "refused") == {"trainA/good000.png": "unreadable"}


def test_a_test_image_seen_in_training_is_named_whatever_its_format(good):
    twin = read_image(good / "trainA" / "good000.png")
    write_image(twin, good / "testA" / "other.bmp")
    shutil.copy(good / "trainA" / "good005.png", good / "testB" / "across.png")  # A and B may share images
    diagnosis = examine(good)
    assert diagnosis.ok
    assert found(diagnosis, "warning") == {"testA/other.bmp": "duplicate"}
    assert "the same pixels as trainA/good000.png" in diagnosis.findings[0].message


def test_files_unlike_their_folder_are_warned_of_and_refused_where_no_rule_turns_them(good):
    write_image(DecodedImage(corpus.scene(1, channels=1)), good / "trainA" / "gray.png")
    write_image(DecodedImage(corpus.scene(2, dtype=np.uint16)), good / "trainA" / "deep.png")
    write_image(DecodedImage(corpus.scene(3, channels=5)), good / "trainA" / "bands.tif")
    diagnosis = examine(good)
    assert found(diagnosis, "warning") == {"trainA/gray.png": "odd-mode", "trainA/deep.png": "odd-mode"}
    assert found(diagnosis, "refused") == {"trainA/bands.tif": "channels"}
    assert "trainA/deep.png: 3 channels, 16-bit, where most of trainA is 3 channels, 8-bit" in "\n".join(
        diagnosis.lines()
    )


def test_blank_and_nearly_constant_images_are_warned_of(good):
    flat = np.full((32, 32, 3), 200, np.uint8)
    speck = flat.copy()
    speck[::2, ::2] += 1
    fog = (200 + np.random.default_rng(0).normal(0, 3, flat.shape)).astype(np.uint8)
    for name, pixels in {"flat": flat, "speck": speck, "fog": fog}.items():
        write_image(DecodedImage(pixels), good / "trainA" / f"{name}.png")
    assert found(examine(good), "warning") == {"trainA/flat.png": "blank", "trainA/speck.png": "blank"}


def test_float_images_beyond_0_to_1_are_warned_of(good):
    for i in range(60):
        metres = corpus.scene(i, channels=1, dtype=np.float32) * (8000 if i == 0 else 1)
        write_image(DecodedImage(metres), good / "trainB" / f"dem{i:02}.tif")
    for path in (good / "trainB").glob("good*"):
        path.unlink()
    assert found(examine(good), "warning") == {"trainB/dem00.tif": "range"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_spread_is_the_largest_standard_deviation_of_a_channel(dtype):
    pixels = corpus.scene(1, 700, 900, dtype=dtype)  # more than one band of rows
    pixels[..., 0] //= 4
    assert spread(pixels) == pytest.approx(pixels.astype(np.float64).std(axis=(0, 1)).max(), rel=1e-6)


def test_missing_and_empty_training_folders_are_refused(tmp_path):
    (tmp_path / "trainA").mkdir()
    (tmp_path / "train_b").mkdir()
    diagnosis = examine(tmp_path)
    assert found(diagnosis, "refused") == {"trainA": "folder", "trainB": "folder"}
    assert "no such folder (found trainA, train_b)" in "\n".join(diagnosis.lines())
    assert diagnosis.notes == ("testA and testB not there: `unpaired evaluate` will need them",)
    with pytest.raises(BadInput, match="expected a folder that holds trainA and trainB"):
        examine(tmp_path / "nowhere")


def test_few_images_and_lopsided_sides_are_warned_of(tmp_path):
    corpus.write_good(tmp_path / "trainA", 5)
    corpus.write_good(tmp_path / "trainB", 51, first_seed=100)
    assert [(f.path, f.reason) for f in examine(tmp_path).findings] == [("trainA", "few"), ("trainB", "imbalance")]


def test_other_files_are_only_counted_and_named_in_a_note(good):
    for name in ("notes.txt", "old.xcf", ".DS_Store"):
        (good / "trainA" / name).write_text("x")
    diagnosis = examine(good)
    assert diagnosis.findings == ()
    assert diagnosis.folders["trainA"].ignored == (".DS_Store", "notes.txt", "old.xcf")
    assert diagnosis.notes == ("trainA: left out 3 files, not images by name: .DS_Store, notes.txt, old.xcf",)


def test_json_holds_what_the_lines_say(good):
    (good / "trainA" / "bad.png").write_bytes(b"")
    content = json.loads(examine(good).to_json())
    assert content["ok"] is False
    assert content["folders"]["trainA"]["images"] == 50
    assert content["findings"] == [
        {
            "path": "trainA/bad.png",
            "reason": "empty",
            "message": "empty (0 bytes); replace or remove it",
            "severity": "refused",
        }
    ]


@pytest.mark.promise("hostile images")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    pixels = corpus.scene(1, 512, 512)  # 0.75 MB each, 45 MB in all
    for side in "AB":
        (tmp_path / f"train{side}").mkdir()
        for i in range(30):
            write_image(DecodedImage(pixels), tmp_path / f"train{side}" / f"{i}.bmp")
    tracemalloc.start()
    examine(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * pixels.nbytes
