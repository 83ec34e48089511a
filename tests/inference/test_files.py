from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data_sets import make_model, shapes
from unpaired.checkpoints.bundle import BUNDLE
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.core.pipeline import in_batches, in_order, one_ahead
from unpaired.imaging.images import DecodedImage, read_image, write_image
from unpaired.inference import Options, Translator, files, translate_files


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return Translator.load(make_model(tmp_path_factory.mktemp("model")))


def put(folder, *names):
    """Images, no two alike; returns their paths."""
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes("A", number).save(path)
    return paths


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def assert_translated(translator, source, target):
    np.testing.assert_array_equal(read_image(target).pixels, translator.translate_decoded(read_image(source)).pixels)


def test_one_image_goes_to_the_file_named(translator, tmp_path):
    (source,) = put(tmp_path, "in.png")
    assert translate_files(translator, str(source), tmp_path / "deep/er/out.tif") == [tmp_path / "deep/er/out.tif"]
    assert_translated(translator, source, tmp_path / "deep/er/out.tif")


@pytest.mark.parametrize("exists", [True, False])
def test_one_image_goes_into_the_folder_named_under_its_own_name(translator, tmp_path, exists):
    (source,) = put(tmp_path, "in.png")
    folder = tmp_path / "out"
    if exists:
        folder.mkdir()
    translate_files(translator, str(source), folder)
    assert tree(folder) == ["in.png"]
    assert_translated(translator, source, folder / "in.png")


def test_a_folder_keeps_its_tree_and_names(translator, tmp_path):
    names = ["1.png", "a/1.png", "a/b/2.bmp", "ümlaut 3.webp", "UPPER.PNG"]
    sources = put(tmp_path / "in", *names)
    (tmp_path / "in/notes.txt").write_text("no image")
    (tmp_path / "in/.hidden.png").write_text("no image")
    written = translate_files(translator, str(tmp_path / "in"), tmp_path / "out")
    assert tree(tmp_path / "out") == sorted(names) and len(written) == 5
    for name, source in zip(names, sources, strict=True):
        assert_translated(translator, source, tmp_path / "out" / name)


def test_a_pattern_takes_what_it_matches(translator, tmp_path):
    put(tmp_path / "in", "a1.png", "a2.png", "b1.png", "deep/a3.png")
    translate_files(translator, str(tmp_path / "in/a*.png"), tmp_path / "flat")
    assert tree(tmp_path / "flat") == ["a1.png", "a2.png"]
    translate_files(translator, str(tmp_path / "in/**/*.png"), tmp_path / "all")
    assert tree(tmp_path / "all") == ["a1.png", "a2.png", "a3.png", "b1.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(translator, tmp_path):
    put(tmp_path / "in", "a[1].png", "a1.png")
    translate_files(translator, str(tmp_path / "in/a[1].png"), tmp_path / "out")
    assert tree(tmp_path / "out") == ["a[1].png"]


def test_two_inputs_that_would_become_one_output_are_refused(translator, tmp_path):
    put(tmp_path / "in", "x/1.png", "y/1.png", "y/2.png")
    with pytest.raises(BadInput, match=r"would be written to .*/1\.png; give a folder"):
        translate_files(translator, str(tmp_path / "in/*/*.png"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(translator, tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 65536, (16, 20, 3), np.uint16)
    alpha = np.random.default_rng(1).integers(0, 65536, (16, 20, 1), np.uint16)
    for name, decoded in (("plain", DecodedImage(pixels)), ("clear", DecodedImage(pixels, alpha))):
        write_image(decoded, tmp_path / f"{name}{suffix}")
        (target,) = translate_files(translator, str(tmp_path / f"{name}{suffix}"), tmp_path / "out")
        out = read_image(target)
        np.testing.assert_array_equal(out.pixels, translator(pixels))
        assert out.pixels.dtype == np.uint16
        assert (out.alpha is None) if name == "plain" else np.array_equal(out.alpha, alpha)


def bad_ones(folder):
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").touch()
    broken = folder / "a/broken.png"
    broken.write_bytes(broken.read_bytes()[:60])
    return {"text.png", "empty.jpg", "a/broken.png"}


def test_bad_files_are_named_together_and_the_good_ones_written(translator, tmp_path):
    put(tmp_path / "in", "1.png", "a/broken.png", "z.png")
    bad = bad_ones(tmp_path / "in")
    with pytest.raises(BadInput, match="3 of 5 files could not be translated") as caught:
        translate_files(translator, str(tmp_path / "in"), tmp_path / "out")
    for name in bad:
        assert str(caught.value).count(str(tmp_path / "in" / name)) == 1
    assert "\n" not in str(caught.value)
    assert tree(tmp_path / "out") == ["1.png", "z.png"]


def test_the_command_says_so_in_one_line_with_code_2(translator, tmp_path, capsys):
    put(tmp_path / "in", "1.png", "a/broken.png", "z.png")
    bad_ones(tmp_path / "in")
    model = make_model(tmp_path / "run")
    assert run(["translate", str(model), str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unpaired:")]
    assert len(said) == 1 and "broken.png" in said[0] and "text.png" in said[0]
    assert tree(tmp_path / "out") == ["1.png", "z.png"]


def test_a_image_the_output_format_cannot_hold_is_named_with_what_could(translator, tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint16)
    write_image(DecodedImage(pixels), tmp_path / "deep.png")
    with pytest.raises(BadInput, match=r"out\.jpg: \.jpg cannot hold .*choose \.png .* or \.tif"):
        translate_files(translator, str(tmp_path / "deep.png"), tmp_path / "out.jpg")
    assert tree(tmp_path) == ["deep.png"]


def test_the_input_is_never_written_over(translator, tmp_path):
    (source,) = put(tmp_path / "in", "1.png")
    put(tmp_path / "in", "1.png", "a/1.png", "a/a/1.png")
    before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*.png")}
    (tmp_path / "link").symlink_to(tmp_path / "in")
    inside = tmp_path / "in"
    for given, out in (
        (source, source),
        (source, inside),
        (inside, inside),
        (inside, tmp_path / "link"),
        (inside / "*.png", inside),
        (inside, inside / "a"),  # 1.png would become a/1.png, which is still to be read
    ):
        with pytest.raises(BadInput, match="would overwrite the input"):
            translate_files(translator, str(given), Path(out))
    assert {path: path.read_bytes() for path in (tmp_path / "in").rglob("*.png")} == before


def test_an_earlier_translation_may_be_written_over(translator, tmp_path):
    (source,) = put(tmp_path / "in", "1.png")
    for _ in range(2):
        translate_files(translator, str(source), tmp_path / "out")
    assert_translated(translator, source, tmp_path / "out/1.png")


def test_nothing_to_translate_is_said(translator, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="found an empty folder, or one without images"):
        translate_files(translator, str(tmp_path / "empty"), tmp_path / "out")
    for missing in ("nowhere.png", "*.png"):
        with pytest.raises(BadInput, match="found no such file, folder or match"):
            translate_files(translator, str(tmp_path / missing), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_output_folder_is_named(translator, tmp_path):
    put(tmp_path / "in", "1.png")
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file/deeper"):
        with pytest.raises(BadInput, match=r"file: expected a folder .* found a file|deeper.*cannot be written"):
            translate_files(translator, str(tmp_path / "in"), out)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_runs_full_leaves_nothing_half_written(translator, tmp_path, monkeypatch):
    (source,) = put(tmp_path / "in", "1.png")
    (tmp_path / "out").mkdir()
    plain = Path.write_bytes

    def write_bytes(self, data):
        plain(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(BadInput, match=r"1\.png: cannot be written \(No space left on device\)"):
        translate_files(translator, str(source), tmp_path / "out")
    assert tree(tmp_path / "out") == []


def test_a_run_or_its_bundle_may_be_given_to_the_command(tmp_path, capsys):
    (source,) = put(tmp_path / "in", "1.png")
    make_model(tmp_path / "run")
    for number, model in enumerate((tmp_path / "run", tmp_path / "run" / BUNDLE)):
        assert run(["translate", str(model), str(source), str(tmp_path / f"{number}.png"), "--direction", "BtoA"]) == 0
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert_translated(Translator.load(tmp_path / "run", "BtoA"), source, tmp_path / "0.png")
    with Image.open(tmp_path / "0.png") as image:
        assert image.size == (40, 36)


def test_batches_give_what_single_images_give(translator, tmp_path):
    sources = put(tmp_path / "in", *(f"{n}.png" for n in range(7)))
    shapes("A", 3).resize((24, 24)).save(tmp_path / "in/2.png")
    translate_files(translator, str(tmp_path / "in"), tmp_path / "out", Options(batch=3))
    for source in sources:
        expected = translator.translate_decoded(read_image(source)).pixels.astype(int)
        assert np.abs(read_image(tmp_path / "out" / source.name).pixels - expected).max() <= 1


def test_what_is_read_ahead_is_bounded():
    begun, taken = [], 0
    with ThreadPoolExecutor(2) as pool:
        for result in in_order(pool, lambda n: begun.append(n) or n, range(50), ahead=5):
            assert result == taken and len(begun) <= taken + 5
            taken += 1
    assert taken == 50


def test_items_of_one_key_share_a_batch_and_what_waits_is_bounded():
    assert list(in_batches("abab", str, 2, 8)) == [["a", "a"], ["b", "b"]]
    assert list(in_batches("abcad", str, 2, 3)) == [["a"], ["b"], ["c"], ["a"], ["d"]]  # three wait, the first goes
    assert list(in_batches("aab", str, 1, 4)) == [["a"], ["a"], ["b"]]


def test_the_next_item_is_made_before_one_is_given():
    made = []
    items = one_ahead(made.append(n) or n for n in range(4))
    assert [(item, len(made)) for item in items] == [(0, 2), (1, 3), (2, 4), (3, 4)]


@dataclass(frozen=True)
class Negative:
    """A runtime that inverts images and records what it is given, as soon as it is submitted."""

    channels_in: int = 3
    channels_out: int = 3
    label: str = "negative"
    place: str = "cpu"
    size_multiple: int = 1
    min_size: int = 1
    events: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def __call__(self, images):
        return self.submit(images)()

    def submit(self, images):
        self.events.append(("submit", images.shape))
        return lambda: self.events.append(("wait", images.shape)) or -images


def put_sizes(folder, sizes):
    folder.mkdir()
    for number, size in enumerate(sizes):
        shapes("A", number).resize(size).save(folder / f"{number:02}.png")


def test_sizes_that_alternate_make_full_batches_that_overlap_and_give_the_same_files(translator, tmp_path):
    put_sizes(tmp_path / "in", [(20, 16), (24, 16)] * 2)
    for batch in (1, 2):
        runtime = Negative()
        inverting = replace(translator, runtime=runtime)
        out = tmp_path / str(batch)
        written = translate_files(inverting, str(tmp_path / "in"), out, Options(batch=batch))
        assert [path.name for path in written] == ["00.png", "01.png", "02.png", "03.png"]
    first, second = (2, 3, 16, 20), (2, 3, 16, 24)
    assert runtime.events == [("submit", first), ("submit", second), ("wait", first), ("wait", second)]
    for name in tree(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
        np.testing.assert_array_equal(
            read_image(tmp_path / "2" / name).pixels, 255 - read_image(tmp_path / "in" / name).pixels
        )


def test_images_of_one_padded_size_share_a_batch_and_come_back_in_order_at_their_own(translator, tmp_path):
    put_sizes(tmp_path / "in", [(19, 16), (24, 16), (20, 15), (18, 13), (21, 16), (20, 16)])
    runtime = Negative(size_multiple=4)
    written = translate_files(
        replace(translator, runtime=runtime), str(tmp_path / "in"), tmp_path / "out", Options(batch=3)
    )
    shapes_seen = [shape for event, shape in runtime.events if event == "submit"]
    assert shapes_seen == [(3, 3, 16, 20), (2, 3, 16, 24), (1, 3, 16, 20)]
    assert sorted(path.name for path in written) == [f"{n:02}.png" for n in range(6)]
    for path in written:
        np.testing.assert_array_equal(read_image(path).pixels, 255 - read_image(tmp_path / "in" / path.name).pixels)


def test_alpha_depth_and_no_data_are_each_images_own_in_a_batch_of_several_sizes(translator, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    clear = DecodedImage(rng.integers(0, 256, (21, 24, 3), np.uint8), rng.integers(0, 256, (21, 24, 1), np.uint8))
    write_image(clear, tmp_path / "in/clear.png")
    write_image(DecodedImage(rng.integers(0, 65536, (24, 23, 3), np.uint16)), tmp_path / "in/deep.png")
    holes = rng.integers(1, 256, (22, 22, 3), np.uint8)
    holes[:5] = 0
    nodata = [(42113, "s", 0, "0", True)]
    tifffile.imwrite(tmp_path / "in/holes.tif", holes, photometric="rgb", extratags=nodata)
    runtime = Negative(size_multiple=4)
    translate_files(replace(translator, runtime=runtime), str(tmp_path / "in"), tmp_path / "out", Options(batch=3))
    assert runtime.events[0] == ("submit", (3, 3, 24, 24))
    out = {path.stem: read_image(path) for path in (tmp_path / "out").iterdir()}
    np.testing.assert_array_equal(out["clear"].pixels, 255 - clear.pixels)
    np.testing.assert_array_equal(out["clear"].alpha, clear.alpha)
    np.testing.assert_array_equal(out["deep"].pixels, 65535 - read_image(tmp_path / "in/deep.png").pixels)
    filled = tifffile.imread(tmp_path / "out/holes.tif")
    assert (filled[:5] == 0).all() and (filled[5:] == 255 - holes[5:]).mean() > 0.99


def test_files_held_in_memory_are_bounded_while_the_network_works(translator, tmp_path, monkeypatch):
    """AHEAD + batch are being read and WINDOW batches wait for their size, at most, when a batch is submitted."""
    put_sizes(tmp_path / "in", [(8 + n % 7, 8) for n in range(60)])
    batch, read, most = 2, [], []
    monkeypatch.setattr(files, "read_image", lambda path: read.append(path) or read_image(path))

    class Counting(Negative):
        def submit(self, images):
            most.append(len(read) - sum(shape[0] for event, shape in self.events if event == "submit"))
            return super().submit(images)

    translate_files(
        replace(translator, runtime=Counting()), str(tmp_path / "in"), tmp_path / "out", Options(batch=batch)
    )
    assert len(read) == 60 and max(most) <= files.AHEAD + batch + files.WINDOW * batch


def test_errors_and_lines_follow_the_order_of_the_files_whatever_ends_first(translator, tmp_path, capsys):
    put_sizes(tmp_path / "in", [(20, 16), (24, 16), (20, 16), (24, 16), (20, 16), (24, 16)])
    for name in ("01.png", "04.png"):
        (tmp_path / "in" / name).write_text("no image")
    report = tmp_path / "report.jsonl"
    with pytest.raises(BadInput, match=r"2 of 6 files .*01\.png.*04\.png"):
        options = Options(batch=2, report=report)
        translate_files(replace(translator, runtime=Negative()), str(tmp_path / "in"), tmp_path / "out", options)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [Path(row["file"]).name for row in rows] == [f"{n:02}.png" for n in range(6)]
    assert [row["error"] is None for row in rows] == [True, False, True, True, False, True]
    assert tree(tmp_path / "out") == ["00.png", "02.png", "03.png", "05.png"]


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".png"])
def test_standard_input_of_several_images_is_refused_and_never_cut_to_the_first(tmp_path, monkeypatch, capsys, suffix):
    frames = [shapes("A", number) for number in range(3)]
    frames[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=frames[1:])
    data = (tmp_path / f"in{suffix}").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert run(["translate", str(make_model(tmp_path / "run")), "-", str(tmp_path / f"out{suffix}")]) == 2
    assert "standard input: holds 3 pages or frames; give files for both" in capsys.readouterr().err
    assert not (tmp_path / f"out{suffix}").exists()


@pytest.mark.slow
def test_standard_input_and_output_carry_a_image_in_its_own_format(tmp_path, monkeypatch):
    model = make_model(tmp_path / "run")
    translator = Translator.load(model)
    shapes("A", 1).save(tmp_path / "in.jpg")
    data = (tmp_path / "in.jpg").read_bytes()
    command = [sys.executable, "-m", "unpaired", "translate", str(model), "-", "-"]
    piped = subprocess.run(command, input=data, capture_output=True, timeout=120)
    assert piped.returncode == 0 and piped.stdout == translator(data), piped.stderr
    for given, code in ((data, 0), (b"no image", 2)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert run(["translate", str(model), "-", str(tmp_path / f"{code}.png")]) == code
    assert_translated(translator, tmp_path / "in.jpg", tmp_path / "0.png")
    assert not (tmp_path / "2.png").exists()


@pytest.mark.parametrize("name", ["out.jp2", "x.xyz", "v.mp4"])
def test_an_ending_that_is_not_written_is_refused(translator, tmp_path, name):
    (source,) = put(tmp_path / "in", "1.png")
    with pytest.raises(BadInput, match=f"{name}: .* is not written; take one of .*, or create a folder of this name"):
        translate_files(translator, str(source), tmp_path / name)
    assert not (tmp_path / name).exists()
    (tmp_path / name).mkdir()
    assert translate_files(translator, str(source), tmp_path / name) == [tmp_path / name / "1.png"]


def test_flags_that_would_do_nothing_are_refused(translator, tmp_path):
    put(tmp_path / "in", "1.png")
    with pytest.raises(BadInput, match="--smooth 0.9 is for one video or GIF"):
        translate_files(translator, str(tmp_path / "in"), tmp_path / "out", Options(smooth=0.9))
    with pytest.raises(BadInput, match="--feather 3 .*give --mask"):
        Options(feather=3)
