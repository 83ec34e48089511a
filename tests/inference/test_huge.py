"""Files bigger than memory: the pixels, the memory, and going on after kill -9, with a real process each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from benchmarks.huge import make_image
from benchmarks.huge import make_model as make_small_model
from tests.corpus import write_hostile
from tests.data_sets import make_model
from tests.test_metadata import GEO, camera_exif, geotiff
from unpaired import Translator
from unpaired.cli import run
from unpaired.core.errors import BadInput, Stopped
from unpaired.imaging.images import DecodedImage, read_image, write_image
from unpaired.inference import Options, huge, streams, translate_files
from unpaired.inference.huge import translate_huge
from unpaired.inference.streams import open_stream
from unpaired.metrics.seams import seam_score

TILES = Options(tile=64)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def translator(model):
    return Translator.load(model)


def noise(height, width, channels=3, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).random((height, width, channels))
    return (values * (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)).astype(dtype)


def assert_close(one, other):
    """To a level, which rounding may tip over."""
    assert one.shape == other.shape and one.dtype == other.dtype
    unit = 257 if one.dtype == np.uint16 else 1 / 255 if one.dtype.kind == "f" else 1
    assert np.abs(one.astype(np.float64) - other).max() <= unit


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("alpha", [False, True])
def test_tiles_write_what_the_whole_image_gives_with_depth_alpha_and_georeference(translator, tmp_path, dtype, alpha):
    pixels = noise(130, 203, dtype=dtype)
    decoded = DecodedImage(pixels, noise(130, 203, 1, dtype, 1) if alpha else None)
    write_image(decoded, tmp_path / "in.tif")
    translate_files(translator, str(tmp_path / "in.tif"), tmp_path / "out.tif", TILES)
    out, whole = read_image(tmp_path / "out.tif"), translator.translate_decoded(decoded)
    assert_close(out.pixels, whole.pixels)
    assert (out.alpha is None) if not alpha else np.array_equal(out.alpha, decoded.alpha)
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.pages[0].is_tiled and tiff.pages[0].compression == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif"]


def test_what_a_file_says_goes_along_through_tiles(translator, tmp_path):
    geotiff(tmp_path / "in.tif", compression="zlib")
    translate_files(translator, str(tmp_path / "in.tif"), tmp_path / "out.tif", TILES)
    with tifffile.TiffFile(tmp_path / "in.tif") as before, tifffile.TiffFile(tmp_path / "out.tif") as after:
        for code in (*GEO, 282, 283, 296):
            assert after.pages[0].tags[code].value == before.pages[0].tags[code].value
    Image.fromarray(noise(90, 120)).save(tmp_path / "photo.jpg", exif=camera_exif())
    translate_files(translator, str(tmp_path / "photo.jpg"), tmp_path / "photo.tif", TILES)
    with Image.open(tmp_path / "photo.tif") as image:
        assert image.size == (90, 120)  # brought upright
        assert image.getexif().get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert_close(
        read_image(tmp_path / "photo.tif").pixels,
        translator.translate_decoded(read_image(tmp_path / "photo.jpg")).pixels,
    )


LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 7, "compression": "zlib"},
    "tiles": {"tile": (32, 48), "compression": "lzw"},
    "planes": {"planarconfig": "separate"},
    "planes in tiles": {"planarconfig": "separate", "tile": (32, 32), "compression": "zlib"},
    "big-endian": {"byteorder": ">"},
    "big-endian tiles": {"byteorder": ">", "tile": (32, 32), "compression": "zlib", "predictor": True},
    "bigtiff": {"bigtiff": True, "tile": (64, 64)},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_tiff_is_poured_as_it_is_read(tmp_path, layout, dtype):
    pixels = noise(101, 77, dtype=dtype)
    stored = np.moveaxis(pixels, 2, 0) if "planes" in layout else pixels
    tifffile.imwrite(tmp_path / "in.tif", stored, photometric="rgb", **LAYOUTS[layout])
    stream = open_stream(tmp_path / "in.tif")
    poured = np.zeros(stream.shape, stream.dtype)
    stream.pour(lambda: poured)
    np.testing.assert_array_equal(poured, pixels)
    assert len(list(stream.blocks())) > 1 or layout in ("one strip", "big-endian")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_poured_upright(tmp_path, orientation):
    tags = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(
        tmp_path / "in.tif", noise(50, 33), photometric="rgb", extratags=tags, rowsperstrip=8, compression="zlib"
    )
    stream = open_stream(tmp_path / "in.tif")
    poured = np.zeros(stream.shape, stream.dtype)
    stream.pour(lambda: poured)
    np.testing.assert_array_equal(poured, read_image(tmp_path / "in.tif").pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_other_formats_come_through_libvips_band_by_band(tmp_path, monkeypatch, suffix):
    pytest.importorskip("pyvips")
    monkeypatch.setattr(streams, "IN_MEMORY", 1000)
    monkeypatch.setattr(streams, "ROWS", 16)
    path = tmp_path / f"in{suffix}"
    Image.fromarray(noise(60, 44)).save(
        path, exif=camera_exif(), **({"compression": "jpeg"} if suffix == ".tif" else {})
    )
    stream = open_stream(path)
    assert len(list(stream.blocks())) == 4
    poured = np.zeros(stream.shape, stream.dtype)
    stream.pour(lambda: poured)
    read = read_image(path)
    assert np.abs(poured.astype(int) - read.pixels).max() <= (4 if suffix in (".jpg", ".tif") else 0)
    if suffix != ".tif":
        assert stream.shape == (44, 60, 3) and stream.about.exif == read.about.exif


def test_without_the_extra_the_pip_line_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvips", None)
    monkeypatch.setattr(streams, "IN_MEMORY", 1000)
    monkeypatch.setattr(streams, "MAX_PIXELS", 1000)
    Image.fromarray(noise(60, 44)).save(tmp_path / "in.png")
    with pytest.raises(BadInput, match=r"in\.png: .*pip install 'unpaired\[big\]'"):
        open_stream(tmp_path / "in.png")


@pytest.mark.parametrize("feather", [0, 5])
def test_a_mask_holds_across_tiles_as_it_does_on_the_whole(translator, tmp_path, feather):
    write_image(DecodedImage(noise(140, 170)), tmp_path / "in.png")
    rows, columns = np.mgrid[:140, :170]
    disc = (rows - 66) ** 2 + (columns - 63) ** 2 < 2000  # over the corners of four tiles
    Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    for name, tile in (("tiled", 64), ("whole", None)):
        options = Options(mask=tmp_path / "mask.png", feather=feather, tile=tile)
        translate_files(translator, str(tmp_path / "in.png"), tmp_path / f"{name}.png", options)
    tiled, whole = (read_image(tmp_path / f"{name}.png").pixels for name in ("tiled", "whole"))
    assert_close(tiled, whole)
    np.testing.assert_array_equal(tiled[~disc], noise(140, 170)[~disc])


def test_images_over_the_limit_are_tiled_by_themselves_in_a_folder_too(translator, tmp_path, monkeypatch):
    monkeypatch.setattr("unpaired.inference.options.LARGE", 5000)
    seen = []
    real = huge.translate_huge
    monkeypatch.setattr(
        huge, "translate_huge", lambda *args, **options: seen.append(args[1].name) or real(*args, **options)
    )
    for name, side in (("big.png", 80), ("small.png", 60), ("big.tif", 90)):
        write_image(DecodedImage(noise(side, side)), tmp_path / "in" / name) if (tmp_path / "in").mkdir(
            exist_ok=True
        ) is None else None
    translate_files(translator, str(tmp_path / "in"), tmp_path / "out")
    assert sorted(seen) == ["big.png", "big.tif"]
    for path in (tmp_path / "in").iterdir():
        assert_close(
            read_image(tmp_path / "out" / path.name).pixels, translator.translate_decoded(read_image(path)).pixels
        )


def test_bad_files_settings_and_places_are_refused_in_one_line_and_leave_nothing(translator, tmp_path, monkeypatch):
    write_image(DecodedImage(noise(80, 80)), tmp_path / "in.tif")
    (tmp_path / "broken.tif").write_bytes((tmp_path / "in.tif").read_bytes()[:-4000])
    write_image(DecodedImage(noise(80, 80, 5)), tmp_path / "five.tif")
    nan = noise(80, 80, dtype=np.float32)
    nan[3, 4] = np.inf
    tifffile.imwrite(tmp_path / "infinite.tif", nan, photometric="rgb")
    before = sorted(path.name for path in tmp_path.iterdir())
    for name, options, words in (
        ("broken.tif", TILES, "broken.tif"),
        ("five.tif", TILES, "expected 3 channels, found 5"),
        ("infinite.tif", TILES, "infinite values"),
        ("in.tif", Options(tile=8), "64 pixels a side at least"),
    ):
        with pytest.raises(BadInput, match=words) as caught:
            translate_files(translator, str(tmp_path / name), tmp_path / "out.tif", options)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(huge, "MAX_PIXELS", 1000)
    with pytest.raises(BadInput, match="written as TIFF only"):
        translate_files(translator, str(tmp_path / "in.tif"), tmp_path / "out.png", TILES)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(BadInput, match="GB of disk, and 0.0 GB are free"):
        translate_files(translator, str(tmp_path / "in.tif"), tmp_path / "out.tif", TILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_tiles_are_refused_for_an_exported_file_which_cannot_be_taken_apart(translator, tmp_path):
    write_image(DecodedImage(noise(80, 80)), tmp_path / "in.png")
    exported = Translator(translator.direction, translator.runtime)
    with pytest.raises(BadInput, match="tiles need the run or the bundle, found an exported file"):
        translate_files(exported, str(tmp_path / "in.png"), tmp_path / "out.png", TILES)


def test_ctrl_c_says_how_to_go_on_and_the_next_call_does_not_begin_anew(translator, tmp_path, monkeypatch):
    write_image(DecodedImage(noise(200, 200)), tmp_path / "in.tif")
    expected = tmp_path / "expected.tif"
    translate_huge(translator, tmp_path / "in.tif", expected, tile=64)
    monkeypatch.setattr("unpaired.inference.tiling.SECONDS_BETWEEN_MARKS", 0)
    poured, calls = [], 0
    real_write, real_pour = huge.Canvas.write, streams.Stream.pour

    def write(self, box, pixels):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        real_write(self, box, pixels)

    monkeypatch.setattr(huge.Canvas, "write", write)
    monkeypatch.setattr(streams.Stream, "pour", lambda self, into: poured.append(1) or real_pour(self, into))
    with pytest.raises(Stopped, match="the same command resumes"):
        translate_huge(translator, tmp_path / "in.tif", tmp_path / "out.tif", tile=64)
    translate_huge(translator, tmp_path / "in.tif", tmp_path / "out.tif", tile=64)
    assert len(poured) == 1 and calls == 1 + 16  # the tile that was being written is the only one done again
    assert (tmp_path / "out.tif").read_bytes() == expected.read_bytes()


def test_other_settings_begin_anew_and_clear_what_was_left(translator, tmp_path, monkeypatch):
    write_image(DecodedImage(noise(100, 100)), tmp_path / "in.tif")
    monkeypatch.setattr(huge.Canvas, "write", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    keys = set()
    for tile in (64, 80):
        with pytest.raises(Stopped):
            translate_huge(translator, tmp_path / "in.tif", tmp_path / "out.tif", tile=tile)
        (left,) = tmp_path.glob(".out.tif.work-*")
        keys.add(left.name)
    assert len(keys) == 2


def translate_in_a_process(model, source, target, *options, **more):
    command = [sys.executable, "-m", "unpaired", "translate", str(model), str(source), str(target), *options]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}, **more)


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on_and_ends_in_the_same_file(tmp_path):
    model = make_small_model(tmp_path)
    make_image(tmp_path / "in.tif", 400)
    assert run(["translate", str(model), str(tmp_path / "in.tif"), str(tmp_path / "whole.tif"), "--tile", "64"]) == 0
    killed = 0
    for plane in ("done", "plane", "out"):
        process = translate_in_a_process(model, tmp_path / "in.tif", tmp_path / "out.tif", "--tile", "64")
        while process.poll() is None and not list(tmp_path.glob(f".out.tif.work-*/*{plane}*")):
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 2 and not (tmp_path / "out.tif").exists()
    assert translate_in_a_process(model, tmp_path / "in.tif", tmp_path / "out.tif", "--tile", "64").wait() == 0
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert not list(tmp_path.glob(".out.tif.work-*"))


def peak_mb(model, source, target, *options):
    process = translate_in_a_process(model, source, target, *options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_image(tmp_path):
    model, peaks = make_small_model(tmp_path), []
    for side in (600, 2400):
        make_image(tmp_path / f"{side}.tif", side)
        peaks.append(peak_mb(model, tmp_path / f"{side}.tif", tmp_path / f"out{side}.tif", "--tile", "256"))
    pixels = 2400 * 2400
    whole = 3 * 8 * 4 * pixels / 2**20  # three planes of eight channels: what the whole image takes at least
    assert peaks[1] - peaks[0] < 100 < whole
    out = tifffile.imread(tmp_path / "out2400.tif")
    assert seam_score(out, 256) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_20000_by_20000_pixels_within_1500_megabytes_killed_on_the_way(tmp_path):
    model = make_small_model(tmp_path)
    make_image(tmp_path / "in.tif", 20_000)
    process = translate_in_a_process(model, tmp_path / "in.tif", tmp_path / "out.tif")
    time.sleep(300)
    process.kill()
    process.wait()
    assert peak_mb(model, tmp_path / "in.tif", tmp_path / "out.tif") < 1500
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.pages[0].shape == (20_000, 20_000, 3)


def test_sampled_statistics_come_nearer_than_tiles_alone_and_leave_no_seams(tmp_path, monkeypatch):
    model = Translator.load(make_small_model(tmp_path))
    make_image(tmp_path / "in.tif", 600)

    def translated(name, statistics):
        options = Options(tile=128, statistics=statistics)
        translate_files(model, str(tmp_path / "in.tif"), tmp_path / f"{name}.tif", options)
        return read_image(tmp_path / f"{name}.tif").pixels.astype(np.float32)

    exact = translated("exact", "exact")
    assert np.abs(translated("all", "sampled") - exact).max() <= 1  # the sample holds all of so small an image
    monkeypatch.setattr("unpaired.inference.tiling.SAMPLED", 384)
    monkeypatch.setattr("unpaired.inference.tiling.RUN", 32)
    some = translated("some", "sampled")
    pixels = read_image(tmp_path / "in.tif").pixels
    parts = [np.s_[top : top + 300, left : left + 300] for top in (0, 300) for left in (0, 300)]
    alone = np.mean([np.abs(model(pixels[part]) - exact[part]).mean() for part in parts])
    assert 0 < np.abs(some - exact).mean() < 0.8 * alone
    assert seam_score(some, 128) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("options", [Options(), TILES], ids=["whole", "tiles"])
def test_hostile_files_are_named_at_once_in_one_line_and_the_good_one_is_written(translator, tmp_path, options):
    tiny = {"dot.png", "line.png"}  # odd for training, but images
    names = write_hostile(tmp_path / "in") - tiny
    write_image(DecodedImage(noise(40, 40)), tmp_path / "in/good.png")
    with pytest.raises(BadInput) as caught:
        translate_files(translator, str(tmp_path / "in"), tmp_path / "out", options)
    assert [name for name in names if name not in str(caught.value)] == []
    assert "\n" not in str(caught.value)
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"good.png"} | tiny


@pytest.mark.parametrize("statistics", ["exact", "sampled"])
def test_black_and_white_and_no_data_hold_in_tiles(tmp_path, statistics):
    model = make_model(tmp_path / "model", data__range_a="-1000,3000,float32", data__range_b="0,100,uint16")
    translator = Translator.load(model)
    values = np.random.default_rng(0).uniform(-1000, 3000, (90, 100, 3)).astype(np.float32)
    values[:20, :30] = -9999
    tag = [(42113, 2, 0, "-9999", True)]
    tifffile.imwrite(tmp_path / "in.tif", values, photometric="rgb", extratags=tag, metadata=None)
    translate_files(translator, str(tmp_path / "in.tif"), tmp_path / "whole.tif")
    translate_files(
        translator, str(tmp_path / "in.tif"), tmp_path / "tiles.tif", Options(tile=64, statistics=statistics)
    )
    whole, tiles = (tifffile.imread(tmp_path / f"{name}.tif").astype(float) for name in ("whole", "tiles"))
    assert whole.max() <= 100 and whole.std() > 5
    assert np.abs(tiles - whole).max() <= 1
