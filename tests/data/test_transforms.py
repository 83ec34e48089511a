"""What each word of `data.preprocess` means; sizes worked by hand from the official code's rules."""

import numpy as np
import pytest
from PIL import Image

from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.data.transforms import augmented, central, in_words, resize, resized


def cfg(preprocess, **settings):
    return DataConfig(preprocess=preprocess, **({"load_size": 40, "crop_size": 32} | settings))


def noise(height, width, channels=3, dtype=np.uint8, seed=0):
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    values = np.random.default_rng(seed).random((height, width, channels)) * top
    return values.astype(dtype)


@pytest.mark.parametrize(
    ("preprocess", "size", "expected"),
    [
        ("resize_and_crop", (100, 20), (40, 40)),  # the aspect is given up
        ("resize_and_crop", (40, 40), (40, 40)),
        ("resize_and_crop", (7, 9), (40, 40)),
        ("crop", (50, 33), (50, 33)),
        ("crop", (32, 32), (32, 32)),
        ("scale_width", (80, 100), (40, 50)),
        ("scale_width", (30, 31), (40, 41)),  # 40 * 31 / 30 = 41.3
        ("scale_width", (80, 40), (40, 32)),  # 20 would be lower than the crop
        ("scale_width", (40, 57), (40, 57)),
        ("scale_width", (40, 20), (40, 32)),
        ("scale_width_and_crop", (80, 100), (40, 50)),
        ("scale_width_and_crop", (80, 40), (40, 32)),
        ("none", (64, 48), (64, 48)),
        ("none", (65, 47), (64, 48)),
        ("none", (66, 70), (64, 72)),  # a half goes to the even quarter: 16.5 to 16, 17.5 to 18
        ("none", (1, 2), (4, 4)),
    ],
)
def test_a_image_gets_the_size_that_the_official_code_gives_it(preprocess, size, expected):
    width, height = size
    assert resized(noise(height, width), cfg(preprocess)).shape == (expected[1], expected[0], 3)


@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "scale_width_and_crop"])
def test_what_ends_in_crop_is_cut_to_the_crop_size_and_the_rest_is_not(preprocess):
    rng = np.random.default_rng(0)
    assert augmented(resized(noise(60, 50), cfg(preprocess)), cfg(preprocess), rng).shape == (32, 32, 3)
    for whole in ("none", "scale_width"):
        pixels = resized(noise(60, 52), cfg(whole))
        assert augmented(pixels, cfg(whole), rng).shape == pixels.shape


@pytest.mark.parametrize(
    ("settings", "before", "after"),
    [
        ({"preprocess": "resize_and_crop", "load_size": "48x40"}, (48, 40), (44, 24)),
        ({"preprocess": "crop"}, (60, 52), (44, 24)),
        ({"preprocess": "scale_width_and_crop", "load_size": 50}, (50, 43), (44, 24)),  # 50 * 52 / 60 = 43.3
        ({"preprocess": "scale_width", "load_size": 50, "crop_size": "20x45"}, (50, 45), (50, 45)),
        ({"preprocess": "none"}, (60, 52), (60, 52)),
    ],
)
def test_a_size_of_two_sides_is_width_and_height(settings, before, after):
    cfg = DataConfig(**{"crop_size": "44x24"} | settings)
    pixels = resized(noise(52, 60), cfg)
    assert pixels.shape[:2] == before[::-1]
    assert augmented(pixels, cfg, np.random.default_rng(0)).shape[:2] == after[::-1]
    assert central(noise(52, 60), cfg).shape[:2] == after[::-1]


def test_crops_of_two_sides_fall_everywhere():
    cfg = DataConfig(preprocess="crop", crop_size="4x2", flip=False)
    drawn = {augmented(places(4, 5), cfg, rng)[0, 0, :2].tobytes() for rng in map(np.random.default_rng, range(60))}
    assert drawn == {bytes((row, column)) for row in range(3) for column in range(2)}
    np.testing.assert_array_equal(central(places(6, 10), cfg), places(6, 10)[2:4, 3:7])


@pytest.mark.parametrize("size", [(43, 60), (60, 23)])
def test_an_image_too_small_for_a_crop_of_two_sides_is_refused(size):
    width, height = size
    with pytest.raises(BadInput, match=f"data.crop_size = 44x24 px after crop, found {width}x{height}"):
        resized(noise(height, width), cfg("crop", crop_size="44x24"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "resized to 40x40 px, random crops 32x32 px"),
        (
            {"load_size": "72x36", "crop_size": "64x32"},
            "resized to 72 px wide and 36 px high, random crops 64 px wide and 32 px high",
        ),
        ({"preprocess": "scale_width_and_crop"}, "scaled to a width of 40 px, random crops 32x32 px"),
        ({"preprocess": "crop"}, "of their own size, random crops 32x32 px"),
        ({"preprocess": "none"}, "of their own size"),
    ],
)
def test_the_sizes_in_words(settings, words):
    assert in_words(cfg(**{"preprocess": "resize_and_crop"} | settings)) == words


@pytest.mark.parametrize("size", [(31, 100), (100, 31)])
def test_a_image_too_small_for_the_crop_is_refused_with_its_size(size):
    width, height = size
    with pytest.raises(BadInput, match=f"data.crop_size = 32 px a side after crop, found {width}x{height}"):
        resized(noise(height, width), cfg("crop"))


def test_a_scaled_image_narrower_than_the_crop_is_refused():
    with pytest.raises(BadInput, match="after scale_width_and_crop, found 20x"):
        resized(noise(50, 50), cfg("scale_width_and_crop", load_size=20))


@pytest.mark.parametrize("size", [(17, 60), (90, 31), (40, 8)])
def test_bicubic_of_8_bits_is_pillows(size):
    for channels in (1, 3):
        pixels = noise(30, 41, channels)
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        expected = np.asarray(image.resize(size, Image.Resampling.BICUBIC)).reshape(size[1], size[0], channels)
        np.testing.assert_array_equal(resize(pixels, *size), expected)


def test_sixteen_bits_resize_as_eight_do_but_finer():
    eight = 64 + noise(30, 41) // 2  # Pillow clips 8 bits between its two passes: keep clear of the ends
    coarse, fine = resize(eight, 60, 22), resize(eight.astype(np.uint16) * 257, 60, 22)
    assert fine.dtype == np.uint16
    assert np.abs(fine / 257 - coarse).max() <= 2  # 8 bits are rounded after each pass
    assert len(np.unique(fine % 257)) > 200  # levels that 8 bits do not have


def test_each_of_many_channels_is_resized_on_its_own():
    pixels = noise(30, 41, channels=7, dtype=np.uint16)
    out = resize(pixels, 20, 50)
    assert out.shape == (50, 20, 7) and out.dtype == np.uint16
    for k in range(7):
        np.testing.assert_array_equal(out[..., k : k + 1], resize(pixels[..., k : k + 1], 20, 50))


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_overshoot_at_an_edge_from_black_to_white_stays_in_range(dtype, channels):
    """Bicubic swings 7 % beyond both ends; wrapped around, black would be white beside the edge."""
    top = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = np.zeros((8, 16, channels), dtype)
    pixels[:, 8:] = top
    out = resize(pixels, 64, 8)
    assert out.dtype == dtype
    assert (out[:, :28] <= 0.02 * top).all() and (out[:, 36:] >= 0.98 * top).all()


def test_a_image_of_the_right_size_is_left_alone():
    for dtype in (np.uint8, np.uint16, np.float32):
        pixels = noise(40, 40, dtype=dtype)
        np.testing.assert_array_equal(resized(pixels, cfg("resize_and_crop")), pixels)


def places(height, width):
    """An image whose pixels hold their own row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows], axis=2).astype(np.uint8)


def test_crops_fall_everywhere_with_equal_odds():
    rng, settings = np.random.default_rng(0), cfg("crop", crop_size=4, flip=False)
    drawn = [tuple(augmented(places(6, 7), settings, rng)[0, 0, :2]) for _ in range(2400)]
    counts = np.array([drawn.count((row, column)) for row in range(3) for column in range(4)])
    assert counts.sum() == 2400
    assert ((counts - 200) ** 2 / 200).sum() < 31.3  # chi-square, 11 degrees of freedom, one in a thousand


def test_half_of_the_crops_are_mirrored_and_only_left_to_right():
    rng, settings = np.random.default_rng(0), cfg("crop", crop_size=4)
    pixels = places(4, 4)
    mirrored = 0
    for _ in range(1000):
        out = augmented(pixels, settings, rng)
        np.testing.assert_array_equal(out[:, 0, 0], [0, 1, 2, 3])
        mirrored += out[0, 0, 1] == 3
        assert sorted(out[0, :, 1]) == [0, 1, 2, 3]
    assert 450 < mirrored < 550  # three standard deviations are 47


def test_crop_and_mirror_are_drawn_independently():
    rng, settings = np.random.default_rng(0), cfg("crop", crop_size=4)
    outs = [augmented(places(4, 5), settings, rng)[0, :, 1] for _ in range(800)]
    counts = [
        sum(tuple(out) == row for out in outs) for row in ((0, 1, 2, 3), (1, 2, 3, 4), (3, 2, 1, 0), (4, 3, 2, 1))
    ]
    assert sum(counts) == 800 and min(counts) > 160


def test_without_flip_nothing_is_mirrored():
    rng, settings = np.random.default_rng(0), cfg("none", flip=False)
    for _ in range(20):
        np.testing.assert_array_equal(augmented(places(4, 4), settings, rng), places(4, 4))


def test_fixed_samples_are_the_middle_of_the_image_and_the_same_each_time():
    settings = cfg("crop", crop_size=4)
    out = central(places(8, 11), settings)
    np.testing.assert_array_equal(out, places(8, 11)[2:6, 3:7])
    np.testing.assert_array_equal(central(places(8, 11), settings), out)
    assert central(places(8, 12), cfg("none")).shape == (8, 12, 3)


def test_fixed_samples_are_sized_as_training_sizes_them():
    pixels = noise(50, 80)
    settings = cfg("resize_and_crop")
    np.testing.assert_array_equal(central(pixels, settings), resized(pixels, settings)[4:36, 4:36])
