"""Small clips made by PyAV, with sound, through a translator whose right answers are known, and read back by PyAV."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data_sets import make_model
from unpaired import Translator
from unpaired.core.errors import BadInput, Stopped
from unpaired.imaging.pages import open_pages
from unpaired.inference import Options, translate_files, video, video_files
from unpaired.inference.runtimes import Runtime
from unpaired.inference.tiling import statistics_of, translate_by
from unpaired.inference.video import Smoothing, translate_video
from unpaired.metrics.flicker import Flicker

av = pytest.importorskip("av")
CLOCK = Fraction(1, 90_000)
SIZE = 48, 64


class Negative(Runtime):
    """A runtime whose answer is known: the negative."""

    channels_in = channels_out = 3
    label = "negative fp32"

    def __call__(self, images):
        return -images


NEGATIVE = Translator("AtoB", Negative())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


def times(count):
    """Time stamps of an uneven clock: 40, 50 and 60 ms in turn."""
    return np.concatenate([[0], np.cumsum([3600 + 900 * (k % 3) for k in range(count - 1)])]).tolist()


def scene(number, size=SIZE):
    """A square that moves over soft colours that stay."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([60 + rows, 80 + columns, 140 - rows], -1).astype(np.uint8)
    pixels[10:26, 2 * number % 40 : 2 * number % 40 + 16] = (200, 60, 60)
    return pixels


def make_clip(path, frames=24, size=SIZE, sound=True, rotation=0, codec="libx264", audio="aac"):
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=20, options={"crf": "4"} if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        clock = CLOCK if codec != "mpeg4" else Fraction(1, 1000)
        stream.time_base = stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            track = out.add_stream(audio, rate=48_000, layout="mono")
        for number, stamp in enumerate(times(frames)):
            frame = av.VideoFrame.from_ndarray(scene(number, size), format="rgb24")
            frame.pts, frame.time_base = round(stamp * CLOCK / clock), clock
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound:
            for number in range(50):
                wave = (8000 * np.sin(np.arange(1024) * (0.05 + 0.001 * number))).astype(np.int16)[None]
                samples = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = 48_000, 1024 * number, Fraction(1, 48_000)
                out.mux(track.encode(samples))
            out.mux(track.encode())
    return path


def frames_of(path):
    with av.open(str(path)) as clip:
        return [(float(frame.pts * frame.time_base), video_files.upright(frame)) for frame in clip.decode(video=0)]


def packets_of(path):
    with av.open(str(path)) as clip:
        return [(float(p.pts * p.time_base), bytes(p)) for p in clip.demux(audio=0) if p.dts is not None]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_frames_are_translated_at_their_own_times_and_sound_is_copied(tmp_path, suffix):
    source = make_clip(tmp_path / f"in{suffix}")
    translate_video(NEGATIVE, source, tmp_path / f"out{suffix}")
    before, after = frames_of(source), frames_of(tmp_path / f"out{suffix}")
    assert len(after) == len(before) == 24
    np.testing.assert_allclose([t for t, _ in after], [t for t, _ in before], atol=1e-3)
    for (_, one), (_, other) in zip(before, after, strict=True):
        assert np.abs(255 - one.astype(int) - other).mean() < 4
    sound = packets_of(source)
    assert [data for _, data in packets_of(tmp_path / f"out{suffix}")] == [data for _, data in sound] and len(
        sound
    ) > 40
    np.testing.assert_allclose([t for t, _ in packets_of(tmp_path / f"out{suffix}")], [t for t, _ in sound], atol=2e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"in{suffix}", f"out{suffix}"])


def test_uneven_times_survive_to_the_tick(tmp_path):
    source = make_clip(tmp_path / "in.mp4", sound=False)
    translate_video(NEGATIVE, source, tmp_path / "out.mp4")
    stamps = [stamp for stamp, _ in frames_of(tmp_path / "out.mp4")]
    np.testing.assert_allclose(np.diff(stamps), np.diff(times(24)) / 90_000, atol=1e-6)


@pytest.mark.parametrize(("name", "out"), [("in.avi", "out.mp4"), ("in.mp4", "out.webm"), ("in.mkv", "out.mkv")])
def test_containers_go_into_one_another(tmp_path, name, out):
    source = make_clip(tmp_path / name, sound=False, codec="mpeg4" if name.endswith("avi") else "libx264")
    translate_video(NEGATIVE, source, tmp_path / out)
    assert len(frames_of(tmp_path / out)) == len(frames_of(source))


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_video_is_translated_and_written_upright(tmp_path, rotation):
    probe = make_clip(tmp_path / "plain.mp4", frames=4, sound=False)
    source = make_clip(tmp_path / "in.mp4", frames=4, sound=False, rotation=rotation)
    translate_video(NEGATIVE, source, tmp_path / "out.mp4")
    turned = [np.rot90(pixels, rotation // 90) for _, pixels in frames_of(probe)]
    for (_, out), expected in zip(frames_of(tmp_path / "out.mp4"), turned, strict=True):
        assert out.shape == expected.shape
        assert np.abs(255 - expected.astype(int) - out).mean() < 4


def test_odd_sizes_are_kept(tmp_path):
    source = make_clip(tmp_path / "in.mkv", frames=4, sound=False, size=(48, 64))
    with av.open(str(tmp_path / "odd.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=20)
        stream.height, stream.width, stream.pix_fmt = 47, 61, "bgr0"
        for number in range(4):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number, (47, 61)), format="rgb24")))
        out.mux(stream.encode())
    translate_video(NEGATIVE, tmp_path / "odd.mkv", tmp_path / "out.mkv")
    assert source.exists() and frames_of(tmp_path / "out.mkv")[0][1].shape == (47, 61, 3)


def test_a_bare_stream_without_times_gets_those_of_its_rate(tmp_path):
    with av.open(str(tmp_path / "bare.mpg"), "w", format="h264") as out:
        stream = out.add_stream("libx264", rate=20, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(6):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number), format="rgb24")))
        out.mux(stream.encode())
    translate_video(NEGATIVE, tmp_path / "bare.mpg", tmp_path / "out.mkv")
    stamps = [stamp for stamp, _ in frames_of(tmp_path / "out.mkv")]
    assert len(stamps) == 6 and (np.diff(stamps) > 0).all()


@pytest.mark.parametrize("smooth", [0.0, 0.8])
def test_stopped_in_the_middle_it_goes_on_and_ends_in_the_same_frames(tmp_path, model, monkeypatch, smooth):
    monkeypatch.setattr(video, "SEGMENT", 5)
    translator = Translator.load(model)
    source = make_clip(tmp_path / "in.mkv", frames=18)
    whole = translate_video(translator, source, tmp_path / "whole.mkv", smooth=smooth)
    real, calls = video._Frames._translated, []

    def translated(self, pixels):
        calls.append(1)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return real(self, pixels)

    monkeypatch.setattr(video._Frames, "_translated", translated)
    with pytest.raises(Stopped, match="the same command resumes"):
        translate_video(translator, source, tmp_path / "out.mkv", smooth=smooth)
    resumed = translate_video(translator, source, tmp_path / "out.mkv", smooth=smooth)
    assert len(calls) == 13 + 8  # two segments of five were whole
    assert resumed == whole
    for (t, one), (u, other) in zip(frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "whole.mkv"), strict=True):
        assert t == u
        np.testing.assert_array_equal(one, other)
    assert packets_of(tmp_path / "out.mkv") == packets_of(tmp_path / "whole.mkv")


@pytest.mark.slow
def test_a_killed_process_leaves_what_the_next_one_goes_on_from(tmp_path, model):
    source = make_clip(tmp_path / "in.mp4", frames=120)
    command = [sys.executable, "-m", "unpaired", "translate", str(model), str(source), str(tmp_path / "out.mp4")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".out.mp4.work-*/*.npz")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out.mp4").exists()
    (work,) = tmp_path.glob(".out.mp4.work-*")
    kept = (work / "000000.nut").stat().st_mtime_ns
    seen = []
    real = video._Frames._resume
    video._Frames._resume = lambda self: seen.append((work / "000000.nut").stat().st_mtime_ns) or real(self)
    try:
        translate_files(Translator.load(model), str(source), tmp_path / "out.mp4")
    finally:
        video._Frames._resume = real
    assert seen == [kept] and len(frames_of(tmp_path / "out.mp4")) == 120 and not work.exists()


def flickering(number, steady):
    """The background stands still while a passing light changes the statistics of the frame."""
    pixels = steady.copy()
    pixels[30:, 40:] = 255 if number % 2 else 0
    return pixels


def test_smoothing_the_statistics_reduces_flicker_where_nothing_moves(tmp_path, model, monkeypatch):
    steady = scene(0)
    monkeypatch.setattr(sys.modules[__name__], "scene", lambda number, size=SIZE: flickering(number, steady))
    source = make_clip(tmp_path / "in.mkv", sound=False)
    translator = Translator.load(model)
    plain = translate_video(translator, source, tmp_path / "plain.mkv")
    smooth = translate_video(translator, source, tmp_path / "smooth.mkv", smooth=0.9)
    assert plain.count == smooth.count > 0
    assert plain.levels > 2
    assert smooth.levels < 0.6 * plain.levels


def test_smoothed_statistics_are_the_exponential_average(model):
    network = Translator.load(model).bundle.translators["AtoB"]
    frames = [torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(n)) * 2 - 1 for n in range(3)]
    smoothing = Smoothing(0.75)
    outs = [translate_by(network, frame, smoothing) for frame in frames]
    first = min(smoothing.kept)  # what the first norm sees does not depend on other norms
    means = [statistics_of(network, frame)[0][0] for frame in frames]
    expected = 0.75 * (0.75 * means[0] + 0.25 * means[1]) + 0.25 * means[2]
    torch.testing.assert_close(smoothing.kept[first][0], expected)
    torch.testing.assert_close(outs[0], network(frames[0]), atol=1e-4, rtol=0)  # the first frame has only its own
    assert (outs[2] - network(frames[2])).abs().max() > 1e-2


def test_a_new_scene_begins_with_its_own_statistics(tmp_path, model, monkeypatch):
    monkeypatch.setattr(
        sys.modules[__name__], "scene", lambda n, size=SIZE: np.full((*size, 3), 250 if n > 5 else 5, np.uint8)
    )
    source, kept = make_clip(tmp_path / "in.mkv", frames=12, sound=False), []
    real = video._Frames._smoothed
    monkeypatch.setattr(
        video._Frames, "_smoothed", lambda self, image: kept.append(len(self.smoothing.kept)) or real(self, image)
    )
    translate_video(Translator.load(model), source, tmp_path / "out.mkv", smooth=0.9)
    assert [number for number, known in enumerate(kept) if not known] == [0, 6]


def test_flicker_is_worked_out_by_hand():
    before, now = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    now[0, 0] = 100  # moves, so it does not count
    now[0, 1] = 1  # at rest, but for a level
    out_before, out_now = np.full((2, 2, 3), 50, np.uint8), np.full((2, 2, 3), 60, np.uint8)
    flicker = Flicker()
    flicker.add(before, now, out_before, out_now)
    assert flicker.count == 3 and flicker.levels == pytest.approx((10 - 1 + 10 + 10) / 3)
    assert np.isnan(Flicker().levels)


def test_the_command_takes_videos(tmp_path, model, capsys):
    source = make_clip(tmp_path / "in.mp4", frames=6)
    (target,) = translate_files(Translator.load(model), str(source), tmp_path / "folder", Options(smooth=0.5))
    assert target == tmp_path / "folder/in.mp4" and len(frames_of(target)) == 6
    assert "flicker" in capsys.readouterr().err


def test_what_cannot_be_done_is_refused_in_one_line_before_any_work(tmp_path, model):
    translator = Translator.load(model)
    (tmp_path / "no.mp4").write_bytes(b"no video at all")
    silent = make_clip(tmp_path / "in.mp4", frames=3)
    pcm = make_clip(tmp_path / "pcm.mkv", frames=3, audio="pcm_s16le")
    gray = Translator.load(make_model(tmp_path / "gray", 1, 3))
    for given, source, target, options, words in (
        (translator, tmp_path / "no.mp4", "out.mp4", {}, "Invalid data"),
        (translator, silent, "out.xyz", {}, "no container of this name"),
        (translator, pcm, "out.webm", {}, "does not take sound in pcm_s16le as it is; choose .mkv"),
        (translator, silent, "out.mp4", {"smooth": 1.0}, "below 1"),
        (NEGATIVE, silent, "out.mp4", {"smooth": 0.5}, "need the run or the bundle"),
        (gray, silent, "out.mp4", {}, "3 channels to 3, found 1 to 3"),
        (translator, silent, "in.mp4", {}, "would overwrite the input"),
    ):
        with pytest.raises(BadInput, match=words) as caught:
            translate_video(given, source, tmp_path / target, **options)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("out*")) and not list(tmp_path.glob(".*"))


def test_without_the_extra_the_pip_line_is_given(tmp_path, model, monkeypatch):
    source = make_clip(tmp_path / "in.mp4", frames=3)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BadInput, match=r"pip install 'unpaired\[video\]'"):
        translate_video(Translator.load(model), source, tmp_path / "out.mp4")


def test_a_gif_keeps_its_colours_and_times(tmp_path):
    y, x = np.mgrid[:48, :64]
    frames = [np.stack([x * 4 - k, y * 5, x + y], -1).clip(0, 255).astype(np.uint8) for k in range(3)]
    images = [Image.fromarray(frame).quantize(256, Image.Quantize.MEDIANCUT) for frame in frames]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[100, 300, 300])
    translate_video(NEGATIVE, tmp_path / "a.gif", tmp_path / "b.gif")
    with open_pages(tmp_path / "a.gif") as before, open_pages(tmp_path / "b.gif") as after:
        assert [page.about.duration for page in after] == [100, 300, 300]
        for one, other in zip(before, after, strict=True):
            assert np.abs(255 - one.pixels.astype(int) - other.pixels).max() <= 2


@pytest.mark.parametrize(("size", "tag", "matrix"), [((48, 64), 2, 5), ((720, 64), 2, 1), ((48, 64), 1, 1)])
def test_untagged_frames_are_read_by_their_lines(size, tag, matrix):
    frame = av.VideoFrame(size[1], size[0], "yuv444p")
    for plane, value in zip(frame.planes, (81, 90, 240), strict=True):  # red in BT.601
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace = tag
    red = video_files.upright(frame)[0, 0].astype(int)
    expected = {5: (254, 0, 0), 1: (255, 24, 0)}[matrix]  # H.273: R = 1.164 (Y - 16) + 1.596 or 1.793 (Cr - 128), ...
    assert np.abs(red - expected).max() <= 3, red


def make_wide_clip(path, code, trc=16, primaries=9, matrix=9):
    """Two frames of one 10-bit Y'CbCr colour, lossless."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=20, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = trc, primaries, matrix, 1
        for number in range(2):
            frame = av.VideoFrame(SIZE[1], SIZE[0], "yuv420p10le")
            for plane, value in zip(frame.planes, code, strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 20)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("trc", "primaries", "luma", "expected", "words"),
    [  # PQ of 1000 and 203 cd/m^2: 64 + 876 * 0.7518 and 0.5807; HLG of reference white: 64 + 876 * 0.75
        (16, 9, 723, 255, "PQ video with the primaries of BT.2020"),
        (16, 9, 573, 231, "PQ video with the primaries of BT.2020"),
        (18, 9, 721, 231, "HLG video with the primaries of BT.2020"),
        (1, 12, 502, 127.5, "BT.709 video with the primaries of Display P3"),
    ],
)
def test_wide_colours_are_converted_and_written_as_what_they_are(
    tmp_path, capsys, trc, primaries, luma, expected, words
):
    matrix = 9 if primaries == 9 else 1
    source = make_wide_clip(tmp_path / "in.mkv", (luma, 512, 512), trc, primaries, matrix)
    translate_video(NEGATIVE, source, tmp_path / "out.mkv")
    assert f"in.mkv: {words} is converted to SDR BT.709\n" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.mkv")) as clip:
        context = clip.streams.video[0].codec_context
        assert (context.color_trc, context.color_primaries, context.colorspace) == (1, 1, 1)
    frames = frames_of(tmp_path / "out.mkv")
    assert len(frames) == 2
    for _, pixels in frames:
        assert np.abs(255 - pixels.astype(float) - expected).max() <= 2.5, pixels[0, 0]


@pytest.mark.parametrize(
    ("trc", "primaries", "matrix", "words"),
    [
        (16, 9, 10, "constant-luminance BT.2020 video is not converted"),
        (16, 9, 14, "ICtCp video is not converted"),
        (2, 9, 9, "primaries of BT.2020 and no tag of its transfer is not converted"),
        (10, 9, 9, "primaries of BT.2020 and transfer 10 of H.273 is not converted"),
        (16, 11, 9, "primaries of DCI-P3 is not converted"),
    ],
)
def test_wide_colours_that_are_not_converted_are_refused(tmp_path, trc, primaries, matrix, words):
    source = make_wide_clip(tmp_path / "in.mkv", (500, 512, 512), trc, primaries, matrix)
    with pytest.raises(BadInput, match=words):
        translate_video(NEGATIVE, source, tmp_path / "out.mkv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv"]


def test_large_frames_are_translated_in_tiles(tmp_path, model, monkeypatch):
    source, translator = make_clip(tmp_path / "in.mkv", frames=2, sound=False), Translator.load(model)
    translate_video(translator, source, tmp_path / "whole.mkv")
    monkeypatch.setattr("unpaired.inference.options.LARGE", 100)
    monkeypatch.setattr(type(translator.runtime), "translate", None)
    translate_video(translator, source, tmp_path / "tiles.mkv")
    for (_, one), (_, other) in zip(*(frames_of(tmp_path / f"{name}.mkv") for name in ("whole", "tiles")), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 1
