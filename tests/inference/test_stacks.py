"""Stacks and animations through `translate`: every image of them, and the same kind of file again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data_sets import make_model, shapes
from unpaired import Translator
from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage, read_image, write_image
from unpaired.imaging.pages import open_pages
from unpaired.inference import Options, options, translate_files


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return Translator.load(make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    return Translator.load(make_model(tmp_path_factory.mktemp("gray"), 1, 1))


def depth(number):
    return np.asarray(shapes("A", number).convert("L")).astype(np.uint16) * 200


def stack(path, count=5, **options):
    tifffile.imwrite(path, np.stack([depth(k) for k in range(count)]), photometric="minisblack", **options)
    return path


def animation(path, count=4):
    images = [shapes("A", k) for k in range(count)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=70, loop=2, lossless=True)
    return path


@pytest.mark.parametrize("batch", [1, 2])
def test_every_page_of_a_stack_is_translated(gray, tmp_path, batch):
    source = stack(tmp_path / "z.ome.tif", ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.1})
    (target,) = translate_files(gray, str(source), tmp_path / "out", Options(batch=batch))
    with tifffile.TiffFile(target) as tiff:
        assert tiff.is_ome and tiff.series[0].axes == "ZYX" and tiff.series[0].shape == (5, *depth(0).shape)
        for k, page in enumerate(tiff.asarray()):
            right = gray.translate_decoded(DecodedImage(depth(k)[..., None])).pixels[..., 0]
            assert page.dtype == np.uint16 and np.abs(page.astype(int) - right).max() <= (batch > 1)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_every_frame_of_an_animation_is_translated_alone_or_in_a_folder(translator, tmp_path, suffix):
    (tmp_path / "in").mkdir()
    source = animation(tmp_path / f"in/moving{suffix}")
    shapes("A", 9).save(tmp_path / "in/still.png")
    translate_files(translator, str(source), tmp_path / "alone")
    translate_files(translator, str(tmp_path / "in"), tmp_path / "folder")
    alone, folder = (tmp_path / f"{name}/moving{suffix}" for name in ("alone", "folder"))
    assert alone.read_bytes() == folder.read_bytes() and (tmp_path / "folder/still.png").exists()
    with open_pages(source) as before, open_pages(alone) as after:
        assert after.layout == before.layout and after.layout.loop == 2
        for one, other in zip(before, after, strict=True):
            assert other.about.duration == 70
            off = np.abs(translator.translate_decoded(one).pixels.astype(int) - other.pixels)
            assert off.max() == 0 or (suffix == ".gif" and off.mean() < 10)  # 256 colours for a frame of noise


def test_a_stack_may_become_an_animation_and_the_other_way_round(translator, tmp_path):
    source = animation(tmp_path / "a.webp")
    translate_files(translator, str(source), tmp_path / "b.tif")
    translate_files(translator, str(source), tmp_path / "c.gif")
    for name in ("b.tif", "c.gif"):
        with open_pages(tmp_path / name) as pages:
            assert pages.layout.count == 4
    with pytest.raises(BadInput, match=r"a\.webp: \.jpg holds one image, not 4; choose \.tif"):
        translate_files(translator, str(source), tmp_path / "d.jpg")
    assert not (tmp_path / "d.jpg").exists()


def test_a_stack_that_fails_is_named_and_the_others_are_written(gray, tmp_path):
    (tmp_path / "in").mkdir()
    whole = stack(tmp_path / "in/a.tif", metadata=None)
    (tmp_path / "in/b.tif").write_bytes(whole.read_bytes()[:-5000])
    with pytest.raises(BadInput, match="1 of 2 files could not be translated: .*b.tif"):
        translate_files(gray, str(tmp_path / "in"), tmp_path / "out", Options(report=tmp_path / "r.jsonl"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif"]
    assert [bool(json.loads(line)["written"]) for line in (tmp_path / "r.jsonl").read_text().splitlines()] == [1, 0]


def test_pages_of_another_size_are_told(gray, tmp_path, capsys):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for side in (1, 1, 2):
            tiff.write(depth(0)[::side, ::side], photometric="minisblack", metadata=None)
    translate_files(gray, str(tmp_path / "a.tif"), tmp_path / "out")
    assert "1 file: not taken along into .tif: pages of another size (1)" in capsys.readouterr().err


def test_a_mask_holds_for_every_page(gray, tmp_path):
    source = stack(tmp_path / "a.tif", count=2, metadata=None)
    mask = np.zeros((*depth(0).shape, 1), np.uint8)
    mask[:4] = 255
    write_image(DecodedImage(mask), tmp_path / "mask.png")
    translate_files(gray, str(source), tmp_path / "out", Options(mask=tmp_path / "mask.png"))
    with open_pages(tmp_path / "out/a.tif") as pages:
        for k, page in enumerate(pages):
            np.testing.assert_array_equal(page.pixels[4:, :, 0], depth(k)[4:])
            assert (page.pixels[:4, :, 0] != depth(k)[:4]).any()


def test_large_pages_are_translated_in_tiles(gray, tmp_path, monkeypatch):
    source = stack(tmp_path / "a.tif", count=2, metadata=None)
    translate_files(gray, str(source), tmp_path / "whole")
    monkeypatch.setattr(options, "LARGE", 100)
    monkeypatch.setattr(type(gray.runtime), "translate", None)
    translate_files(gray, str(source), tmp_path / "tiles")
    for one, other in zip(*(tifffile.imread(tmp_path / f"{name}/a.tif") for name in ("whole", "tiles")), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 8  # of 65535: sums in another order
    assert sorted(path.name for path in (tmp_path / "tiles").iterdir()) == ["a.tif"]


def test_where_one_image_is_expected_several_are_refused(translator, tmp_path):
    source = animation(tmp_path / "a.webp")
    for call in (lambda: translator(source), lambda: translator(source.read_bytes())):
        with pytest.raises(BadInput, match="holds 4 pages or frames"):
            call()
    with Image.open(source) as image:
        assert translator(image.convert("RGB")).size == image.size
    assert read_image(source).pages == 4
