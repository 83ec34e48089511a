"""`data.pages all`: every image of a stack is an image of the data set."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from unpaired.config import DataConfig
from unpaired.data.checks import examine
from unpaired.data.folders import PixelStore, domain_files, images_of
from unpaired.data.heldout import open_held_out
from unpaired.data.pairing import UnpairedImages
from unpaired.imaging.images import read_image
from unpaired.imaging.values import Domain


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    values = np.random.default_rng(0).integers(0, 256, (9, 24, 24), np.uint8)
    for part in ("trainA", "trainB", "testA", "testB", "masksA", "masksB"):
        (root / part / "deep").mkdir(parents=True)
        tifffile.imwrite(root / part / "deep/z.tif", values[:4], imagej=True, metadata={"axes": "ZYX"})
        frames = [Image.fromarray(frame) for frame in values[4:7]]
        frames[0].save(root / part / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
        Image.fromarray(values[7]).save(root / part / "one.png")
    return root, values


def test_each_page_is_an_image_with_a_name_of_its_own(data):
    root, values = data
    assert [len(images_of(root, "trainA", pages)) for pages in ("first", "all")] == [3, 8]
    files = domain_files(root, "trainA", {"trainA/deep/z.tif/0001.tif"}, "all")
    names = [f"deep/z.tif/000{k}.tif" for k in (0, 2, 3)] + [f"moving.webp/000{k}.tif" for k in range(3)] + ["one.png"]
    assert list(files.inside()) == [f"trainA/{name}" for name in names]
    for path, value in zip(files, values[[0, 2, 3, 4, 5, 6, 7]], strict=True):
        np.testing.assert_array_equal(Domain(1).read(path)[..., 0], value)


def test_training_sees_every_page_with_its_mask(data):
    root, values = data
    cfg = DataConfig(root=str(root), preprocess="none", flip=False, channels_a=1, channels_b=1, pages="all", masks=True)
    images = UnpairedImages(cfg, seed=0)
    assert images.length == 8
    seen = []
    for k in range(8):
        crop, _, masks = images.pair(0, k)
        seen.append(crop.file)
        np.testing.assert_allclose(
            masks[0][0].numpy() * 255, crop.image[..., 0], atol=0.01
        )  # the mask is the same picture
    assert len(set(seen)) == 8


def test_check_counts_unused_pages_and_knows_the_used_ones(data):
    root, _ = data
    first, every = (
        examine(root, cfg=DataConfig(root=str(root), preprocess="none", channels_a=1, channels_b=1, pages=pages))
        for pages in ("first", "all")
    )
    assert "trainA: 5 pages or frames of 2 files are not used (data.pages first): z.tif, moving.webp" in first.notes
    assert first.folders["trainA"].images == 3 and every.folders["trainA"].images == 8
    assert not any("not used" in note for note in every.notes)


def test_evaluation_takes_the_pages_that_the_model_was_trained_on(data):
    root, _ = data
    assert [len(open_held_out(root, "no", pages=pages).a) for pages in ("first", "all")] == [3, 8]


def test_pixels_without_data_stay_so(tmp_path):
    pixels = np.random.default_rng(0).random((2, 24, 24))
    pixels[1, :3] = -1.7976931348623157e308  # of 64 bits, which the image of 32 cannot hold
    tag = [(42113, "s", 0, "-1.7976931348623157e+308", False)]
    (tmp_path / "trainA").mkdir()
    tifffile.imwrite(tmp_path / "trainA/a.tif", pixels, photometric="minisblack", metadata=None, extratags=tag)
    _, page = images_of(tmp_path, "trainA", "all")
    decoded = read_image(page)
    assert decoded.nodata is not None
    assert decoded.nodata.where[:3].all() and not decoded.nodata.where[3:].any()
    store = PixelStore(DataConfig(preprocess="none", channels_a=1))
    np.testing.assert_allclose(store.read(page, Domain(1))[4:, :, 0], pixels[1, 4:], atol=1e-6)


def test_a_list_may_take_images_from_the_root_itself(tmp_path):
    for name in ("x", "y"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "testA.txt").write_text("x.png\n")
    (tmp_path / "testB.txt").write_text("y.png\n")
    assert [path.name for path in domain_files(tmp_path, "testA", pages="all")] == ["x.png"]
    held_out = open_held_out(tmp_path, paired="no")
    assert [held_out.name(path) for path in held_out.b] == ["y.png"]
