"""Images as files, arrays and tensors: the rule on bit depth and modes, hostile files, exact round trips."""

from __future__ import annotations

import io
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests import corpus
from unpaired.core.errors import BadInput, shown
from unpaired.data.sources.folder import image_files
from unpaired.imaging.exif import ORIENTATION
from unpaired.imaging.images import (
    DecodedImage,
    encode_image,
    read_image,
    to_pixels,
    to_tensor,
    with_channels,
    write_image,
)
from unpaired.imaging.kinds import beginning_of

RGB8, RGB16 = corpus.scene(1), corpus.scene(1, dtype=np.uint16)
LOSSLESS = [
    *((".png", c, a, t) for c in (1, 3) for a in (False, True) for t in (np.uint8, np.uint16)),
    *((".tif", c, a, t) for c in (1, 3) for a in (False, True) for t in (np.uint8, np.uint16, np.float32)),
    *((".tif", c, False, t) for c in (2, 4, 5, 12) for t in (np.uint8, np.uint16, np.float32)),
    *((".webp", 3, a, np.uint8) for a in (False, True)),
    *((".bmp", c, False, np.uint8) for c in (1, 3)),
]


def u8(levels: list) -> np.ndarray:
    return np.array(levels, np.uint8)


def assert_same(found: DecodedImage, pixels: np.ndarray, alpha: np.ndarray | None = None) -> None:
    assert found.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(found.alpha, alpha)


@pytest.mark.parametrize(("suffix", "channels", "has_alpha", "dtype"), LOSSLESS)
def test_a_lossless_file_gives_back_what_was_written(tmp_path, suffix, channels, has_alpha, dtype):
    both = corpus.scene(7, channels=channels + 1, dtype=dtype)
    both[:4, :4] = 0  # colours under full transparency count too
    both[:4, :4, 0] = both.max()
    decoded = DecodedImage(both[..., :-1], both[..., -1:] if has_alpha else None)
    write_image(decoded, tmp_path / f"x{suffix}")
    assert_same(read_image(tmp_path / f"x{suffix}"), decoded.pixels, decoded.alpha)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from([".png", ".tif"]), dtype=st.sampled_from([np.uint8, np.uint16]))
def test_any_small_image_survives_png_and_tiff(data, suffix, dtype):
    sides = st.tuples(
        st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3] if suffix == ".png" else [1, 2, 3, 5])
    )
    pixels = data.draw(hnp.arrays(dtype, sides))
    assert_same(read_image(encode_image(DecodedImage(pixels), suffix)), pixels)


@pytest.mark.parametrize(
    ("mode", "channels", "has_alpha"),
    [("1", 1, False), ("L", 1, False), ("LA", 1, True), ("P", 3, False), ("RGB", 3, False), ("RGBA", 3, True)],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_each_8_bit_mode_becomes_gray_or_rgb_with_alpha_apart(mode, channels, has_alpha, kind):
    gray = Image.fromarray(np.where(RGB8[..., 0] > 100, 255, 0).astype(np.uint8))  # the same in every mode
    decoded = read_image(corpus.encoded(gray.convert(mode), kind))
    alpha = np.full((24, 32, 1), 255, np.uint8) if has_alpha else None
    assert_same(decoded, np.repeat(np.asarray(gray)[..., None], channels, axis=2), alpha)


def test_palette_transparency_becomes_alpha_over_the_palettes_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    decoded = read_image(corpus.encoded(image, "PNG", transparency=bytes([0, 128])))
    assert_same(decoded, u8([[[10, 20, 30], [40, 50, 60]]]), u8([[[0], [128]]]))


def test_a_transparent_gray_level_becomes_alpha():
    image = Image.fromarray(u8([[7, 9]]))
    assert_same(read_image(corpus.encoded(image, "PNG", transparency=7)), u8([[[7], [9]]]), u8([[[0], [255]]]))


def test_cmyk_jpeg_becomes_rgb_of_the_same_look():
    rgb = np.broadcast_to(u8([200, 120, 40]), (16, 16, 3))
    decoded = read_image(corpus.encoded(Image.fromarray(rgb).convert("CMYK"), "JPEG", quality=100))
    assert decoded.pixels.shape == (16, 16, 3)
    np.testing.assert_allclose(decoded.pixels.astype(int), rgb, atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_eight_orientations_of_a_tiff_give_the_same_upright_pixels(orientation, dtype):
    pixels = corpus.scene(3, dtype=dtype)
    tag = [(ORIENTATION, "H", 1, orientation, True)]
    stored = corpus.tiff(corpus.turned(orientation, pixels), photometric="rgb", extratags=tag)
    assert_same(read_image(stored), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_eight_orientations_of_a_tiff_read_by_pillow_give_the_same_upright_pixels(orientation):
    stored = Image.fromarray(corpus.turned(orientation, RGB8)).quantize(256)
    decoded = read_image(corpus.encoded(stored, "TIFF", tiffinfo={ORIENTATION: orientation}))
    upright = corpus.turned(
        8 if orientation == 6 else 6 if orientation == 8 else orientation, np.asarray(stored.convert("RGB"))
    )
    assert_same(decoded, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_eight_orientations_of_an_8_bit_png_give_the_same_upright_pixels(orientation):
    stored = Image.fromarray(corpus.turned(orientation, RGB8))
    assert_same(read_image(corpus.encoded(stored, "PNG", exif=corpus.exif(orientation))), RGB8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_eight_orientations_of_a_16_bit_png_give_the_same_upright_pixels(orientation):
    whole = encode_image(DecodedImage(corpus.turned(orientation, RGB16)), ".png")
    block = corpus.png_chunk(b"eXIf", corpus.exif(orientation).removeprefix(b"Exif\0\0"))
    assert_same(read_image(whole[:33] + block + whole[33:]), RGB16)  # 33 bytes: signature and IHDR


@pytest.mark.parametrize("orientation", range(1, 9))
def test_eight_orientations_of_a_jpeg_give_the_same_upright_pixels(orientation):
    flat = np.zeros((32, 48, 3), np.uint8)  # 8-pixel blocks of one colour, which JPEG keeps wherever they lie
    flat[:16, :16], flat[16:, 32:] = 255, (90, 90, 90)
    stored = Image.fromarray(corpus.turned(orientation, flat))
    options = {"quality": 100, "subsampling": 0, "exif": corpus.exif(orientation)}
    assert_same(read_image(corpus.encoded(stored, "JPEG", **options)), flat)


@pytest.mark.parametrize("layout", ["plain", "big", "lzw", "deflate", "predictor", "tiles", "planes", "big-endian"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_layout_of_a_tiff_gives_the_same_pixels(layout, dtype):
    pixels = corpus.scene(4, 40, 50, dtype=dtype)
    stored = np.moveaxis(pixels, -1, 0) if layout == "planes" else pixels
    options = {
        "big": {"bigtiff": True},
        "lzw": {"compression": "lzw"},
        "deflate": {"compression": "zlib", "rowsperstrip": 7},
        "predictor": {"compression": "lzw", "predictor": True},
        "tiles": {"tile": (16, 16), "compression": "zlib"},
        "planes": {"planarconfig": "separate"},
        "big-endian": {"byteorder": ">"},
    }
    assert_same(read_image(corpus.tiff(stored, photometric="rgb", **options.get(layout, {}))), pixels)


@pytest.mark.parametrize("options", [{"metadata": {"axes": "CYX"}}, {"imagej": True, "metadata": {"axes": "CYX"}}])
def test_channels_kept_as_pages_come_last(options):
    pixels = corpus.scene(4, channels=5, dtype=np.uint16)
    stored = corpus.tiff(np.moveaxis(pixels, -1, 0), photometric="minisblack", **options)
    assert_same(read_image(stored), pixels)


def test_of_a_stack_of_pages_the_first_counts():
    pages = np.stack([corpus.scene(seed, channels=1, dtype=np.uint16)[..., 0] for seed in range(4)])
    assert_same(read_image(corpus.tiff(pages, photometric="minisblack", metadata=None)), pages[0][..., None])


@pytest.mark.promise("hostile images")
def test_of_pages_that_lead_in_a_circle_or_fill_the_file_only_the_first_is_looked_at():
    """tifffile by itself goes round for ever; found by the fuzzer. Directories below pages multiply in the same way."""
    pages = np.stack([corpus.scene(k, channels=1)[..., 0] for k in range(300)])
    plain = {"photometric": "minisblack", "metadata": None}
    for content in (
        corpus.circular(corpus.tiff(pages[:1], **plain)),
        corpus.circular(corpus.tiff(pages[:4], **plain)),
        corpus.tiff(pages, photometric="minisblack", metadata={"axes": "TYX"}),
        corpus.tiff(pages[:2], photometric="minisblack", extratags=[(330, 4, 99, (8,) * 99, True)]),
    ):
        began = time.process_time()
        assert_same(read_image(content), pages[0][..., None])
        assert time.process_time() - began < 5
    with pytest.raises(BadInput, match="pages of the TIFF lead in a circle"):
        read_image(corpus.circular(corpus.tiff(pages[:4], photometric="minisblack", metadata={"axes": "CYX"})))


def test_of_an_animation_the_first_image_counts():
    frames = [Image.fromarray(corpus.scene(seed)) for seed in (1, 2)]
    for kind in ("WEBP", "PNG"):
        stored = corpus.encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert_same(read_image(stored), RGB8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_whose_white_is_zero_is_read_with_black_as_zero(dtype):
    pixels = corpus.scene(5, channels=1, dtype=dtype)
    white = np.array(1.0 if dtype is np.float32 else np.iinfo(dtype).max, dtype)
    stored = corpus.tiff((white - pixels)[..., 0], photometric="miniswhite")
    np.testing.assert_allclose(read_image(stored).pixels, pixels, atol=1e-6 if dtype is np.float32 else 0)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_a_tiff_takes_alpha_beside_any_number_of_channels(channels):
    pixels = np.arange(channels, dtype=np.uint8) + np.zeros((4, 5, 1), np.uint8)
    alpha = np.full((4, 5, 1), 7, np.uint8)
    again = read_image(encode_image(DecodedImage(pixels, alpha), ".tif"))
    assert np.array_equal(again.pixels, np.concatenate([pixels, alpha], 2))  # TIFF's reader takes it for a channel


def test_four_bands_without_alpha_stay_four_at_every_depth():
    for dtype in (np.uint8, np.uint16):
        pixels = corpus.scene(6, channels=4, dtype=dtype)
        stored = corpus.tiff(pixels, photometric="rgb", extrasamples=["unspecified"])
        assert_same(read_image(stored), pixels)


def test_double_precision_becomes_single_and_keeps_its_values():
    pixels = corpus.scene(6, channels=1, dtype=np.float32)
    assert_same(read_image(corpus.tiff(pixels[..., 0].astype(np.float64))), pixels)


@pytest.mark.parametrize("name", ["x.jpg", "x.bmp", "x.tif", "x.webp"])
def test_content_decides_whatever_the_name_says(tmp_path, name):
    (tmp_path / name).write_bytes(encode_image(DecodedImage(RGB16), ".png"))
    assert_same(read_image(tmp_path / name), RGB16)


@pytest.mark.parametrize(("name", "content"), list(corpus.odd()), ids=lambda v: v if isinstance(v, str) else "")
def test_unusual_but_sound_files_are_read_as_8_bit_rgb(name, content):
    pixels = read_image(content).pixels
    assert pixels.dtype == np.uint8 and sorted(pixels.shape) == [3, 24, 32]


@pytest.mark.promise("hostile images")
def test_hostile_files_end_in_one_line_that_names_them_and_print_nothing(tmp_path, capfd):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in corpus.hostile():
        path = tmp_path / name
        path.write_bytes(content)
        if name in ("dot.png", "line.png"):  # sound, only tiny: for the doctor
            continue
        with pytest.raises(BadInput) as caught:
            read_image(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and "\n" not in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # kB
    assert capfd.readouterr() == ("", "")


@pytest.mark.promise("hostile images")
@pytest.mark.parametrize(
    ("name", "words"),
    {
        "zero16.png": "0x10 holds no pixels",
        "bomb16.png": "50000x50000 is over the limit",
        "bomb.bmp": "50000x50000 is over the limit",
        "wide.tif": "2147483647x2147483647 is over the limit",
        "channels.tif": "TIFF of 60000 channels; at most 256",
        "tile.tif": "TIFF that unpacks to .* bytes, over the limit",
        "volume.tif": "TIFF that unpacks to .* bytes, over the limit",
        "strips.tif": "without the places of all its strips",
        "nan.tif": "no pixel has data",
    }.items(),
)
def test_a_header_that_asks_for_too_much_is_refused_for_that(name, words):
    """Not only because a decoder gives up, which it does after taking the memory."""
    with pytest.raises(BadInput, match=words):
        read_image(dict(corpus.hostile())[name])


@pytest.mark.promise("hostile images")
@settings(max_examples=150, deadline=None)
@given(data=st.data(), suffix=st.sampled_from([".png", ".jpg", ".webp", ".tif", ".bmp", ".16.png", ".16.tif"]))
@pytest.mark.slow
def test_a_file_with_bytes_changed_is_read_or_refused_and_nothing_else(data, suffix):
    decoded = DecodedImage(RGB16 if suffix.startswith(".16") else RGB8)
    content = bytearray(encode_image(decoded, suffix.removeprefix(".16")))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_image(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except BadInput as error:
        assert "\n" not in str(error)
    else:
        assert found.pixels.ndim == 3 and found.pixels.dtype in (np.uint8, np.uint16, np.float32)


@pytest.mark.promise("hostile images")
def test_the_pixel_limit_is_judged_by_the_header_in_every_format():
    for suffix in corpus.SUFFIXES:
        content = encode_image(DecodedImage(RGB8), suffix)
        assert read_image(content, max_pixels=24 * 32).pixels.shape == (24, 32, 3)
        with pytest.raises(BadInput, match="32x24 is over the limit of 767 pixels"):
            read_image(content, max_pixels=24 * 32 - 1)


def test_pillows_own_pixel_limit_neither_warns_nor_refuses(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for suffix in (".png", ".jpg", ".bmp", ".tif"):
        assert read_image(encode_image(DecodedImage(RGB8), suffix)).pixels.shape == (24, 32, 3)


def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    (tmp_path / "folder.png").mkdir()
    for name, words in (("pipe.png", "not a regular file"), ("folder.png", "a folder, where one image is expected")):
        with pytest.raises(BadInput, match=f"{name}: {words}"):
            read_image(tmp_path / name)
    with pytest.raises(BadInput, match=r"gone.png: cannot be read \(No such file or directory\)"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("name", corpus.ODD_NAMES)
def test_any_name_is_read_and_shown_on_one_printable_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encode_image(DecodedImage(RGB8), ".png"))
    assert_same(read_image(path), RGB8)
    path.write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        read_image(path)
    assert str(caught.value).isprintable() and shown(name) in str(caught.value)


def test_a_name_that_is_no_text_is_shown_escaped():
    assert shown(os.fsdecode(b"a\xff\n.png")) == r"a\udcff\n.png"


def test_nothing_is_left_on_disk_where_jpeg_cannot_hold_the_image(tmp_path):
    with pytest.raises(BadInput, match=r"x.jpg: .jpg cannot hold 3 channels of uint16"):
        write_image(DecodedImage(RGB16), tmp_path / "x.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "suffix"), [((4, 4, 2), ".png"), ((4, 4, 4), ".png"), ((4, 4, 5), ".bmp"), ((1, 17_000, 3), ".webp")]
)
def test_a_image_the_format_cannot_give_back_is_refused(shape, suffix):
    with pytest.raises(BadInput, match=f"{suffix} cannot hold"):
        encode_image(DecodedImage(np.zeros(shape, np.uint8)), suffix)


def test_an_unknown_suffix_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match=r"expected a name ending in .avif, .bmp, .dcm"):
        encode_image(DecodedImage(RGB8), ".xcf")


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    write_image(DecodedImage(RGB8), path)

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        write_image(DecodedImage(corpus.scene(9)), path)
    assert_same(read_image(path), RGB8)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_to_tensor_and_back_is_exact_at_every_level(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(1, -1, 1)
    tensor = to_tensor(levels)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    np.testing.assert_array_equal(to_pixels(tensor, dtype), levels)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, (2, 3, 3), elements=st.floats(0, 1, width=32)))
def test_float_pixels_survive_the_tensor_to_single_precision(pixels):
    np.testing.assert_allclose(to_pixels(to_tensor(pixels), np.float32), pixels, atol=1e-7)


def test_tensors_beyond_the_range_are_clipped_and_never_wrap():
    image = torch.tensor([-9.0, -1.001, 1.001, 9.0]).reshape(1, 1, 4)
    assert to_pixels(image).ravel().tolist() == [0, 0, 255, 255]
    assert to_pixels(image, np.uint16).ravel().tolist() == [0, 0, 65535, 65535]


def test_tensors_are_channels_first():
    assert to_tensor(RGB8).shape == (3, 24, 32)
    assert to_tensor(RGB8)[2, 5, 7].item() == pytest.approx(RGB8[5, 7, 2] / 127.5 - 1)


def test_gray_is_repeated_and_rgb_becomes_luminance():
    gray = corpus.scene(1, channels=1)
    np.testing.assert_array_equal(with_channels(gray, 3), np.repeat(gray, 3, axis=2))
    assert with_channels(RGB8, 3) is RGB8
    assert with_channels(u8([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]), 1).ravel().tolist() == [76, 150, 29]
    assert with_channels(np.full((2, 2, 3), 65535, np.uint16), 1).max() == 65535


@pytest.mark.parametrize(("have", "want"), [(3, 5), (5, 3), (4, 3), (2, 1)])
def test_any_other_change_of_channels_is_refused(have, want):
    with pytest.raises(BadInput, match=f"expected {want} channels, found {have}"):
        with_channels(np.zeros((2, 2, have), np.uint8), want)


def test_images_are_listed_by_suffix_in_order_without_hidden_ones(tmp_path):
    for name in ("b.PNG", "a.jpeg", "deep/c.tif", ".hidden.png", ".git/d.png", "e.xcf", "f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == [
        "a.jpeg",
        "b.PNG",
        "deep/c.tif",
    ]


def test_pillow_opens_what_is_written():
    for suffix in corpus.SUFFIXES:
        with Image.open(io.BytesIO(encode_image(DecodedImage(RGB8), suffix))) as image:
            assert image.size == (32, 24)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"hello world", 'it begins with "hello world"'),
        (b"%PDF-1.7", "it is a PDF document"),
        (b"\n <!DOCTYPE html>", "it is a web page"),
        (b"PK\x03\x04rest", "it is a ZIP archive"),
        (b"\x00\x00\x00\x18ftypmp42", "it is an MP4 or HEIF file"),
        (b"\x00\xff\x10", "it begins with bytes 00 ff 10"),
    ],
)
def test_what_is_no_image_is_described_in_words(data, words):
    assert beginning_of(data) == words


def test_texts_of_a_png_that_are_named_like_numbers_do_not_damage_it():
    said, file = PngInfo(), io.BytesIO()
    said.add_text("duration", "12 ms")
    said.add_text("loop", "yes")
    Image.new("RGB", (5, 4), (1, 2, 3)).save(file, "PNG", pnginfo=said)
    read = read_image(file.getvalue())
    assert read.pixels.shape == (4, 5, 3) and read.about.duration == 0
