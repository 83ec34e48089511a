import json
import shutil
import struct

import pytest

from tests.data.prepare.images import png, tree, write
from unpaired.core.errors import BadInput
from unpaired.data.manifest import MANIFEST, read_manifest
from unpaired.data.prepare.folders import prepare_folders


@pytest.fixture
def two(tmp_path):
    """Twenty images of A, ten of B."""
    a = write(tmp_path / "a", {f"{'deep/er/' if i % 2 else ''}{i:02}.png": png(i) for i in range(20)})
    b = write(tmp_path / "b", {f"{i:02}.png": png(100 + i) for i in range(10)})
    return a, b


def split_of(root):
    """Contents by folder of the data set."""
    files = tree(root)
    return {
        folder: [data for name, data in files.items() if name.startswith(folder)]
        for folder in ("trainA", "trainB", "testA", "testB")
    }


def names(root, folder):
    return {name.removeprefix(f"{folder}/") for name in tree(root) if name.startswith(folder)}


def test_every_file_arrives_once_byte_for_byte_with_its_subfolder_and_name(two, tmp_path):
    prepare_folders(tmp_path / "out", *two)
    for side, source in zip("AB", two, strict=True):
        arrived = {}
        for part in ("train", "test"):
            folder = tmp_path / "out" / f"{part}{side}"
            assert not arrived.keys() & tree(folder).keys()
            arrived |= tree(folder)
        assert arrived == tree(source)


@pytest.mark.parametrize(("share", "test_a", "test_b"), [(0.1, 2, 1), (0.25, 5, 2), (0.0001, 1, 1), (0.9999, 19, 9)])
def test_each_side_gives_its_share_to_the_test_set_and_keeps_one_image_to_train_on(
    two, tmp_path, share, test_a, test_b
):
    manifest = prepare_folders(tmp_path / "out", *two, test_share=share)
    assert manifest.counts == {"trainA": 20 - test_a, "trainB": 10 - test_b, "testA": test_a, "testB": test_b}
    assert {folder: len(files) for folder, files in split_of(tmp_path / "out").items()} == manifest.counts


def test_the_manifest_tells_the_rule(two, tmp_path):
    prepare_folders(tmp_path / "out", *two, seed=7)
    facts = read_manifest(tmp_path / "out")
    assert facts["aligned"] is False
    assert facts["rule"] == {"split": "by content and seed", "test_share": 0.1, "seed": 7, "paired": False, "groups": 0}
    assert facts["counts"] == {"trainA": 18, "trainB": 9, "testA": 2, "testB": 1}


def test_the_split_depends_on_content_and_seed_and_not_on_where_the_folders_are(two, tmp_path):
    prepare_folders(tmp_path / "out", *two, test_share=0.3)
    elsewhere = [shutil.copytree(folder, tmp_path / "elsewhere" / folder.name) for folder in two]
    prepare_folders(tmp_path / "again", *elsewhere, test_share=0.3)
    prepare_folders(tmp_path / "other", *two, test_share=0.3, seed=1)
    first, again, other = (tree(tmp_path / name) for name in ("out", "again", "other"))
    digests = [json.loads(files.pop(MANIFEST))["sha256"] for files in (first, again, other)]
    assert first == again and digests[0] == digests[1]
    assert first.keys() != other.keys() and digests[0] != digests[2]


def test_the_split_of_known_content_is_known(tmp_path):
    """Another machine or release must not deal otherwise."""
    a = write(tmp_path / "a", {f"{i}.bmp": gray_bmp(i) for i in range(8)})
    b = write(tmp_path / "b", {f"{i}.bmp": gray_bmp(100 + i) for i in range(8)})
    prepare_folders(tmp_path / "out", a, b, test_share=0.25)
    assert names(tmp_path / "out", "testA") == {"2.bmp", "7.bmp"}
    assert names(tmp_path / "out", "testB") == {"1.bmp", "6.bmp"}


def gray_bmp(level):
    """One pixel, written by hand: an encoder's bytes may change with its version."""
    header = struct.pack("<IHHIIiiHHIIiiII", 58, 0, 0, 54, 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
    return b"BM" + header + bytes([level, level, level, 0])


@pytest.mark.parametrize("seed", range(8))
def test_identical_files_go_to_one_split_across_both_sides(tmp_path, seed):
    a = write(tmp_path / "a", {f"{i}.png": png(i // 2) for i in range(12)})  # every image twice
    b = write(tmp_path / "b", {f"{i}.png": png(i) for i in range(3, 12)})  # three of them in B as well
    prepare_folders(tmp_path / "out", a, b, test_share=0.3, seed=seed)
    files = split_of(tmp_path / "out")
    assert all(files.values())
    assert not set(files["trainA"] + files["trainB"]) & set(files["testA"] + files["testB"])


@pytest.mark.parametrize("seed", range(4))
def test_paired_images_stay_together_and_the_test_set_is_aligned(tmp_path, seed):
    a = write(tmp_path / "a", {f"{'x' if i < 5 else 'y'}/{i}.png": png(i) for i in range(10)})
    b = write(tmp_path / "b", {f"{'x' if i < 5 else 'y'}/{i}.PNG": png(100 + i // 2) for i in range(10)})
    prepare_folders(tmp_path / "out", a, b, test_share=0.3, seed=seed, paired=True)
    assert read_manifest(tmp_path / "out")["aligned"] is True
    for part in ("train", "test"):
        stems = {name[:-4] for name in names(tmp_path / "out", f"{part}A")}
        assert stems == {name[:-4] for name in names(tmp_path / "out", f"{part}B")} and stems
    files = split_of(tmp_path / "out")
    assert not set(files["trainB"]) & set(files["testB"])  # B repeats itself: pairs follow their twins


def test_paired_names_without_partner_are_all_named(tmp_path):
    a = write(tmp_path / "a", {"1.png": png(1), "2.png": png(2), "3.png": png(3), "3.bmp": png(4)})
    b = write(tmp_path / "b", {"1.png": png(5), "3.png": png(6), "4.png": png(7)})
    with pytest.raises(BadInput) as caught:
        prepare_folders(tmp_path / "out", a, b, paired=True)
    for path in (a / "2.png", a / "3.png", a / "3.bmp", b / "3.png", b / "4.png"):
        assert str(path) in str(caught.value)
    assert str(a / "1.png") not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_every_unreadable_image_is_named_in_one_line_before_anything_is_written(two, tmp_path):
    a, b = two
    write(a, {"deep/broken.png": png(1)[:60], "text.jpg": b"hello"})
    write(b, {"empty.tif": b""})
    with pytest.raises(BadInput) as caught:
        prepare_folders(tmp_path / "out", a, b)
    message = str(caught.value)
    assert "3 of 33 images" in message and "\n" not in message
    for path in (a / "deep/broken.png", a / "text.jpg", b / "empty.tif"):
        assert str(path) in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_is_no_image_or_hidden_is_left_out(two, tmp_path):
    write(two[0], {"notes.txt": b"hello", ".hidden.png": b"x", ".cache/1.png": b"x"})
    manifest = prepare_folders(tmp_path / "out", *two)
    assert manifest.counts["trainA"] + manifest.counts["testA"] == 20


@pytest.mark.parametrize(
    ("files", "found"),
    [(None, "nothing of that name"), ({}, "none"), ({"a.txt": b"x"}, "none"), ({"a.png": png(0)}, "only a.png")],
)
def test_a_side_without_two_images_is_refused(two, tmp_path, files, found):
    a, _ = two
    b = tmp_path / "other"
    if files is not None:
        b.mkdir()
        write(b, files)
    with pytest.raises(BadInput, match=f"--b {b}: expected .*found {found}"):
        prepare_folders(tmp_path / "out", a, b)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_a_folder_is_refused(two, tmp_path):
    with pytest.raises(BadInput, match="--a .*found a file"):
        prepare_folders(tmp_path / "out", two[0] / "00.png", two[1])


def test_a_side_of_identical_images_cannot_be_split(two, tmp_path):
    same = write(tmp_path / "same", {"1.png": png(1), "2.png": png(1)})
    with pytest.raises(BadInput, match="the 2 images of A cannot be split"):
        prepare_folders(tmp_path / "out", same, two[1])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_that_leaves_one_split_empty_is_refused(two, tmp_path, share):
    with pytest.raises(BadInput, match=f"--test-share .* got {share}"):
        prepare_folders(tmp_path / "out", *two, test_share=share)


def test_folders_inside_each_other_are_refused(two, tmp_path):
    a, b = two
    for wrong in ((tmp_path / "out", a, a / "deep"), (tmp_path / "out", a, a), (a / "out", a, b)):
        with pytest.raises(BadInput, match="choose separate folders"):
            prepare_folders(*wrong)


def test_another_data_set_is_never_written_over(two, tmp_path):
    prepare_folders(tmp_path / "out", *two)
    before = tree(tmp_path / "out")
    with pytest.raises(BadInput, match="found one in use"):
        prepare_folders(tmp_path / "out", *two, seed=1)
    assert tree(tmp_path / "out") == before
