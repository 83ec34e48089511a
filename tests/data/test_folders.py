import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_sets import make_data, shapes
from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.data.folders import Files, PixelStore, domain_files
from unpaired.data.sources.folder import image_files
from unpaired.imaging.values import Domain


def test_images_are_found_at_every_depth_and_sorted_by_path(tmp_path):
    names = ["b.PNG", "a/2.jpg", "a/1.tif", "a/deep/er/x.webp", "z.bmp", "c.jpeg", "d.tiff"]
    for name in names:
        path = tmp_path / "trainA" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(domain_files(tmp_path, "trainA")) == sorted(tmp_path / "trainA" / name for name in names)


def test_hidden_files_folders_and_other_kinds_of_file_are_ignored(tmp_path):
    folder = make_data(tmp_path, a=1) / "trainA"
    (folder / ".DS_Store.png").touch()
    (folder / "._00.png").touch()
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails/00.png").touch()
    (folder / "notes.txt").touch()
    assert list(domain_files(tmp_path, "trainA")) == [folder / "00.png"]


def test_a_data_set_below_a_hidden_folder_is_read_all_the_same(tmp_path):
    root = make_data(tmp_path / ".cache/set", a=2)
    assert len(domain_files(root, "trainA")) == 2


@pytest.mark.parametrize("name", ["trainA", "testB"])
def test_a_missing_folder_is_answered_with_what_is_there(tmp_path, name):
    (tmp_path / "horses").mkdir()
    (tmp_path / "zebras").mkdir()
    with pytest.raises(BadInput, match=f"no images in .*{name} .*: horses, zebras.*trainA and .*trainB"):
        domain_files(tmp_path, name)


def test_a_missing_data_set_and_an_empty_one_are_told_apart(tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        domain_files(tmp_path / "nowhere", "trainA")
    with pytest.raises(BadInput, match="an empty folder"):
        domain_files(tmp_path, "trainA")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="no such folder"):
        domain_files(tmp_path / "file", "trainA")


def test_the_list_of_what_is_there_stays_short(tmp_path):
    for k in range(1000):
        os.mkdir(tmp_path / f"folder{k:04}")
    with pytest.raises(BadInput) as caught:
        domain_files(tmp_path, "trainA")
    assert "folder0000" in str(caught.value) and len(str(caught.value)) < 600 + 4 * len(str(tmp_path))


def cfg(**settings):
    return DataConfig(**({"preprocess": "none", "crop_size": 4} | settings))


def test_pixels_are_decoded_once_while_they_fit_in_memory_and_again_where_they_do_not(tmp_path):
    root = make_data(tmp_path)
    first, second = root / "trainA/00.png", root / "trainA/01.png"
    one_image = 40 * 36 * 3
    store = PixelStore(cfg(cache_gb=1.5 * one_image / 1e9))
    kept, not_kept = store.read(first, Domain(3)), store.read(second, Domain(3))
    for path in (first, second):
        shapes("B", 99).save(path)
    np.testing.assert_array_equal(store.read(first, Domain(3)), kept)
    assert (store.read(second, Domain(3)) != not_kept).any()


def test_a_image_of_other_channels_is_refused_by_name(tmp_path):
    path = tmp_path / "two.png"
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(BadInput, match=r"two\.png: expected 5 channels, found 3"):
        PixelStore(cfg()).read(path, Domain(5))


def test_a_image_smaller_than_the_crop_is_refused_by_name(tmp_path):
    path = tmp_path / "small.png"
    Image.new("RGB", (40, 31)).save(path)
    with pytest.raises(BadInput, match=r"small\.png: .*crop_size = 32 .*found 40x31"):
        PixelStore(cfg(preprocess="crop", crop_size=32)).read(path, Domain(3))


def test_names_are_in_the_order_of_paths_and_of_the_kinds_that_count(tmp_path):
    """A folder sorts by its own name, whatever a file beside it begins with; links are followed."""
    for name in (
        "b/2.png",
        "b/1.JPG",
        "b.c/1.png",
        "b-.png",
        "a.png",
        ".hidden.png",
        ".h/1.png",
        "note.txt",
        "b!/1.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    files = image_files(tmp_path)
    assert files == sorted(files)
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    assert names == ["a.png", "b/1.JPG", "b/2.png", "b!/1.png", "b-.png", "b.c/1.png", "link/1.JPG", "link/2.png"]


def test_files_are_a_sequence_of_paths_held_as_names(tmp_path):
    files = Files(tmp_path, [(None, ["trainA/1.png", "trainA/2.png", "trainA/3.png"])])
    assert files[1] == tmp_path / "trainA/2.png" and files[-1] == tmp_path / "trainA/3.png"
    assert list(files[1:]) == [tmp_path / "trainA/2.png", tmp_path / "trainA/3.png"] and len(files) == 3


@pytest.mark.slow
def test_a_hundred_thousand_names_take_megabytes_not_gigabytes():
    import tracemalloc

    tracemalloc.start()
    files = Files(Path("data"), [(None, [f"trainA/{k:07d}.jpg" for k in range(100_000)])])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(files) == 100_000 and held < 15e6  # 100 bytes a name; a million stay far under a gigabyte
