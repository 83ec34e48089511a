"""Models that were never trained, but whose strong random weights make every pixel matter."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch.nn.functional import pad

from tests.corpus import encoded
from tests.data_sets import make_model, shapes
from unpaired import Translator
from unpaired.checkpoints.bundle import load_bundle
from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage, encode_image, read_image, to_pixels, to_tensor
from unpaired.imaging.kinds import suffix_of
from unpaired.inference.runtimes import Runtime
from unpaired.inference.runtimes.torch import pad_to_multiple


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of a run by the channels of A and B."""
    root = tmp_path_factory.mktemp("models")
    return {(a, b): make_model(root / f"{a}{b}", a, b).parent for a, b in ((3, 3), (1, 3), (1, 1), (5, 2))}


@pytest.fixture(scope="module")
def colour(models):
    return Translator.load(models[3, 3])


def noise(height, width, channels=3, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).random((height, width, channels))
    return (values * (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)).astype(dtype)


def batch(height, width, channels=3, seed=0):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


SIZES = [(1, 1), (1, 64), (2, 3), (4, 4), (5, 7), (8, 8), (9, 4), (33, 50), (64, 64), (63, 61)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_image_of_any_size_comes_back_at_its_own(colour, height, width):
    out = colour(noise(height, width))
    assert out.shape == (height, width, 3)
    if height * width > 1:
        assert out.std() > 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (33, 50), (32, 64)])
def test_a_u_net_takes_any_size_too(tmp_path, height, width):
    settings = {"method__generator__name": "unet", "method__generator__downs": 5, "method__generator__width": 2}
    there = Translator.load(make_model(tmp_path, **settings))
    assert there(noise(height, width)).shape == (height, width, 3)


@pytest.mark.parametrize(("height", "width"), [(33, 50), (30, 31), (9, 10)])
def test_a_size_that_does_not_divide_is_the_network_on_the_mirrored_out_image_cut_back(colour, height, width):
    images = batch(height, width)
    network = colour.bundle.translators["AtoB"]
    mirrored = pad(images, (0, -width % 4, 0, -height % 4), mode="reflect")
    assert torch.equal(colour.translate(images), network(mirrored)[..., :height, :width])


def test_a_size_that_divides_goes_through_untouched(colour):
    images = batch(32, 36)
    assert torch.equal(colour.translate(images), colour.bundle.translators["AtoB"](images))


def test_padding_mirrors_without_repeating_the_edge_and_repeats_it_where_there_is_too_little():
    row = torch.arange(5.0).reshape(1, 1, 1, 5)
    assert pad_to_multiple(row.expand(1, 1, 5, 5), 4)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert pad_to_multiple(row[..., :2].expand(1, 1, 2, 2), 4)[0, 0, 0].tolist() == [0, 1, 1, 1]
    assert pad_to_multiple(row[..., :4].expand(1, 1, 4, 4), 4, min_size=8)[0, 0, 0].tolist() == [0, 1, 2, 3, 3, 3, 3, 3]


def test_both_directions_use_their_own_network(models):
    bundle, images = load_bundle(models[3, 3]), batch(32, 32)
    for direction in ("AtoB", "BtoA"):
        translator = Translator.load(models[3, 3], direction)
        assert torch.equal(translator(images), bundle.translators[direction](images))
        assert torch.equal(Translator.load(models[3, 3]).to(direction)(images), translator(images))


def test_an_array_is_the_network_between_two_roundings(colour):
    pixels = noise(32, 32)
    expected = colour.bundle.translators["AtoB"](to_tensor(pixels)[None])[0]
    np.testing.assert_array_equal(colour(pixels), to_pixels(expected))


def test_each_kind_of_image_comes_back_as_its_own_kind_with_the_same_pixels(colour, tmp_path):
    pixels = noise(20, 27)
    expected = colour(pixels)
    assert isinstance(expected, np.ndarray) and expected.dtype == np.uint8
    image = colour(Image.fromarray(pixels))
    assert isinstance(image, Image.Image) and image.mode == "RGB" and image.size == (27, 20)
    np.testing.assert_array_equal(np.asarray(image), expected)
    path = tmp_path / "image.png"
    path.write_bytes(encode_image(DecodedImage(pixels), ".png"))
    for name in (path, str(path)):
        np.testing.assert_array_equal(np.asarray(colour(name)), expected)
    decoded = colour(DecodedImage(pixels))
    assert isinstance(decoded, DecodedImage) and decoded.alpha is None
    np.testing.assert_array_equal(decoded.pixels, expected)
    tensor = to_tensor(pixels)
    assert colour(tensor).shape == (3, 20, 27) and torch.equal(colour(tensor[None])[0], colour(tensor))
    np.testing.assert_array_equal(to_pixels(colour(tensor)), expected)


def test_a_list_comes_back_as_a_list_of_the_same_kinds_and_sizes(colour):
    out = colour([noise(12, 16), Image.fromarray(noise(9, 8)), batch(8, 8)])
    assert [type(each) for each in out] == [np.ndarray, Image.Image, torch.Tensor]
    np.testing.assert_array_equal(out[0], colour(noise(12, 16)))
    assert colour([]) == []


def test_translating_changes_neither_the_image_nor_the_dice_and_gives_the_same_again(colour):
    pixels, images = noise(17, 18), batch(17, 18)
    before, clone, rng = pixels.copy(), images.clone(), torch.get_rng_state()
    assert np.array_equal(colour(pixels), colour(pixels)) and torch.equal(colour(images), colour(images))
    assert np.array_equal(pixels, before) and torch.equal(images, clone)
    assert torch.equal(torch.get_rng_state(), rng)
    assert not colour(images).requires_grad


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_depth_is_kept_and_used(colour, dtype):
    fine = colour(noise(32, 32, dtype=dtype))
    assert fine.dtype == dtype
    top = 65535 if dtype == np.uint16 else 1
    levels = np.unique(np.rint(fine * (255 * 257 / top)).astype(int) % 257)
    assert len(levels) > 100  # more than 8 bits in between


def test_sixteen_bits_and_eight_bits_of_one_image_agree_to_a_level(colour):
    eight = noise(32, 32)
    coarse, fine = colour(eight), colour(eight.astype(np.uint16) * 257)
    assert np.abs(fine / 257 - coarse).max() <= 0.51


def test_a_16_bit_gray_pil_image_stays_16_bit(models):
    gray = Translator.load(models[1, 1])
    pixels = noise(16, 20, 1, np.uint16)[..., 0]
    image = gray(Image.fromarray(pixels))
    assert image.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(image), gray(pixels))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_passes_through_untouched(colour, mode):
    image = shapes("A", 1).convert(mode)
    alpha = Image.fromarray(noise(36, 40, 1)[..., 0])
    image.putalpha(alpha)
    out = colour(image)
    assert out.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(out.getchannel("A")), np.asarray(alpha))
    opaque = colour(image.convert("RGB") if mode == "RGBA" else image.convert("L"))
    np.testing.assert_array_equal(np.asarray(out.convert("RGB")), np.asarray(opaque))


def test_what_hides_under_full_transparency_is_translated_too(colour):
    pixels = noise(16, 16)
    out = colour(DecodedImage(pixels, np.zeros((16, 16, 1), np.uint8)))
    np.testing.assert_array_equal(out.pixels, colour(pixels))
    assert not out.alpha.any()


@pytest.mark.parametrize("dims", [2, 3])
def test_a_gray_image_goes_into_a_colour_model(colour, dims):
    gray = noise(16, 20, 1)
    out = colour(gray if dims == 3 else gray[..., 0])
    np.testing.assert_array_equal(out, colour(np.repeat(gray, 3, axis=2)))


def test_gray_in_and_gray_out_keeps_the_shape_of_the_array(models):
    gray = Translator.load(models[1, 1])
    pixels = noise(16, 20, 1)
    assert gray(pixels).shape == (16, 20, 1) and gray(pixels[..., 0]).shape == (16, 20)
    np.testing.assert_array_equal(gray(pixels)[..., 0], gray(pixels[..., 0]))
    assert gray(Image.fromarray(pixels[..., 0])).mode == "L"


def test_domains_of_different_channels_turn_one_into_the_other(models):
    there, back = (Translator.load(models[1, 3], direction) for direction in ("AtoB", "BtoA"))
    assert (there.channels_in, there.channels_out, back.channels_in, back.channels_out) == (1, 3, 3, 1)
    assert there(noise(16, 20, 1)).shape == (16, 20, 3)
    assert back(noise(16, 20, 3)).shape == (16, 20, 1)
    assert back(Image.fromarray(noise(16, 20))).mode == "L"
    assert there(noise(16, 20, 3)).shape == (16, 20, 3)  # colour in becomes luminance first


def test_many_channels_from_a_tiff(models, tmp_path):
    there = Translator.load(models[5, 2])
    pixels = noise(16, 20, 5, np.uint16)
    path = tmp_path / "bands.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    assert there(pixels).shape == (16, 20, 2)
    with pytest.raises(BadInput, match="PIL cannot hold 2 channels of uint16; pass an array or use files"):
        there(path)


@pytest.mark.parametrize(
    "image",
    [
        noise(8, 8, 2),
        noise(8, 8, 4),
        noise(8, 8, 5),
        noise(8, 8).astype(np.int64),
        noise(8, 8) > 127,
        noise(8, 8)[None],
        noise(8, 8)[:, 0, 0],
        batch(8, 8, 1),
        batch(8, 8, 4)[0],
        batch(8, 8)[0, 0],
        (batch(8, 8) * 127).to(torch.uint8),
        shapes("A", 0).convert("HSV"),
        Path("nowhere.png"),
        "nowhere.png",
    ],
    ids=lambda image: f"{type(image).__name__} {getattr(image, 'dtype', '')} {getattr(image, 'shape', '')}",
)
def test_what_the_model_does_not_take_is_refused_in_one_line(colour, image):
    with pytest.raises(BadInput) as caught:
        colour(image)
    assert "\n" not in str(caught.value)
    assert any(word in str(caught.value) for word in ("expected", "convert", "nowhere.png", "black and white"))


def test_a_direction_that_the_model_does_not_have_is_answered_with_those_there_are(models):
    with pytest.raises(BadInput, match="translates AtoB, BtoA, not sideways"):
        Translator.load(models[3, 3], "sideways")
    with pytest.raises(BadInput, match="translates AtoB, BtoA, not sideways"):
        Translator.load(models[3, 3]).to("sideways")
    assert Translator.load(models[3, 3]).directions == ("AtoB", "BtoA")


def test_pil_images_of_other_modes_are_taken_as_files_are(colour):
    image = shapes("A", 3)
    expected = np.asarray(colour(image))
    for mode in ("CMYK", "P"):
        out = colour(image.convert(mode))
        assert out.mode == "RGB" and out.size == image.size
    np.testing.assert_array_equal(np.asarray(colour(image.convert("P", palette=Image.Palette.ADAPTIVE))), expected)


def test_an_opened_photo_is_not_turned_again(colour, tmp_path):
    """The caller decides about the orientation of an image that is already open; its size is kept."""
    exif = Image.Exif()
    exif[0x0112] = 6
    shapes("A", 1).save(tmp_path / "turned.jpg", exif=exif)
    with Image.open(tmp_path / "turned.jpg") as image:
        assert colour(image).size == image.size == (40, 36)
    assert colour(tmp_path / "turned.jpg").size == (36, 40)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_the_bytes_of_a_file_come_back_as_bytes_of_the_same_format(colour, suffix):
    data = encode_image(DecodedImage(noise(12, 16)), suffix)
    out = colour(data)
    assert isinstance(out, bytes) and suffix_of(out) == suffix
    assert out == encode_image(colour(read_image(data)), suffix)


def test_a_pil_image_keeps_its_profile_and_resolution(colour):
    image = shapes("A", 1)
    image.info.update(icc_profile=b"profile", dpi=(72, 72), comment="not this")
    assert colour(image).info == {"icc_profile": b"profile", "dpi": (72, 72)}


def test_images_of_one_size_go_through_the_network_together(colour):
    seen = []
    counting = replace(colour, runtime=Counting(colour.runtime, seen))
    decoded_images = [noise(12, 16, seed=n) for n in range(5)] + [noise(16, 12, seed=n) for n in range(2)]
    decoded_images = [decoded_images[n] for n in (0, 5, 1, 2, 6, 3, 4)]
    out = counting([*decoded_images, batch(8, 8)], batch=3)
    assert sorted(seen) == [(1, 3, 8, 8), (2, 3, 12, 16), (2, 3, 16, 12), (3, 3, 12, 16)]
    for one, other in zip(out, decoded_images, strict=False):
        assert np.abs(one.astype(int) - colour(other)).max() <= 1


def test_images_of_one_padded_size_share_a_batch_and_have_the_values_of_each_alone(colour):
    """The network divides by 4 and takes 8 pixels or more; 60x64 is computed at that size, so it stays apart."""
    seen = []
    counting = replace(colour, runtime=Counting(colour.runtime, seen))
    sizes = [(61, 64), (3, 5), (64, 63), (60, 64), (62, 61), (7, 6), (64, 64), (1, 8)]
    arrays = [to_tensor(noise(*size, seed=n)).numpy() for n, size in enumerate(sizes)]
    together = counting.batches(arrays, batch=4)
    assert sorted(seen) == [(1, 3, 60, 64), (3, 3, 8, 8), (4, 3, 64, 64)]
    for array, found in zip(arrays, together, strict=True):
        np.testing.assert_allclose(found, colour.runtime(array[None])[0], atol=1e-5)


class Counting(Runtime):
    """A runtime that notes the shapes it is given."""

    def __init__(self, inner, seen):
        self.inner, self.seen = inner, seen
        self.channels_in, self.channels_out, self.label = inner.channels_in, inner.channels_out, inner.label
        self.size_multiple, self.min_size = inner.size_multiple, inner.min_size

    def __call__(self, images):
        self.seen.append(images.shape)
        return self.inner(images)


def test_values_that_the_network_does_not_know_are_told_in_python_too(colour):
    with pytest.warns(UserWarning, match="values outside 0 to 1 .* of the image, clipped"):
        colour(noise(8, 8).astype(np.float32))
    with pytest.warns(UserWarning, match="a tensor of 0 to 25., where the network was trained on -1 to 1"):
        colour(torch.linspace(0, 255, 192).view(3, 8, 8))
    some = np.random.default_rng(0).random((8, 8, 3), np.float32)
    some[:2] = np.nan
    assert np.isnan(colour(some)[:2]).all() and not np.isnan(colour(some)[2:]).any()  # NaN is no data, as in files
    for wrong in (np.full((8, 8, 3), np.nan, np.float32), torch.full((3, 8, 8), torch.nan)):
        with pytest.raises(BadInput, match="finite"):
            colour(wrong)
    half = encoded(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")[:-400]
    for wrong in (np.zeros((0, 5, 3), np.uint8), Image.open(io.BytesIO(half))):
        with pytest.raises(BadInput):
            colour(wrong)


def test_signed_arrays_are_taken_by_a_model_of_signed_files(tmp_path):
    model = Translator.load(make_model(tmp_path, 1, 1, data__range_a="-1000,1000,int16"))
    units = np.rint(np.linspace(-1000, 1000, 256)).reshape(16, 16)
    np.testing.assert_allclose(model(units.astype(np.int16)), model(units.astype(np.float32)), atol=1e-5)


def test_a_scale_that_is_none_is_refused(colour, tmp_path):
    for scaled in (lambda: colour.at("Own"), lambda: Translator.load(tmp_path, scale="big")):
        with pytest.raises(BadInput, match="scale: expected own or train, found"):
            scaled()
