"""Files as people have them: linked folders, odd suffixes, long names, lists of Windows programs, masks, stacks."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data_sets import make_data, tiny
from unpaired.core.errors import BadInput
from unpaired.data.checks import examine
from unpaired.data.folders import domain_files
from unpaired.data.sources.folder import image_names, left_out, other_names
from unpaired.imaging.images import encode_image, read_image, write_image
from unpaired.imaging.pixels import DecodedImage
from unpaired.imaging.values import Domain, read_mask
from unpaired.training import train


def scene(channels=3, dtype=np.uint8, side=24):
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(dtype).max, (side, side, channels), dtype)


def test_linked_folders_are_followed_and_circles_are_named(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "own.png")
    (tmp_path / "store").mkdir()
    data = tmp_path / "data"
    data.mkdir()
    for k in range(2):
        Image.fromarray(scene()).save(tmp_path / f"store/{k}.png")
    (data / "day1").symlink_to(tmp_path / "store")
    (data / "circle").symlink_to(data)
    (tmp_path / "store/up").symlink_to(data)
    (data / "gone").symlink_to(tmp_path / "nowhere")
    assert image_names(data) == ["day1/0.png", "day1/1.png"]
    assert other_names(data) == ["circle", "day1/up", "gone"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a.ppm", "PPM"), ("a.gif", "GIF"), ("a.avif", "AVIF"), ("noext", "JPEG")],
)
def test_odd_suffixes_are_read_and_written_in_their_format(tmp_path, name, kind):
    (tmp_path / "in").mkdir()
    image = Image.fromarray(np.kron(scene(side=6), np.ones((8, 8, 1), np.uint8)))
    image.save(tmp_path / "in" / name, kind)
    (tmp_path / "in/notes.txt").write_text("no image")
    assert image_names(tmp_path / "in") == [name]
    assert left_out(other_names(tmp_path / "in")) == "left out 1 file, not images by name: notes.txt"
    decoded = read_image(tmp_path / "in" / name)
    assert decoded.pixels.shape == (48, 48, 3)
    write_image(decoded, tmp_path / name, ".jpg")
    with Image.open(tmp_path / name) as again:
        assert again.format == kind
        assert np.abs(np.asarray(again.convert("RGB")).astype(int) - decoded.pixels).mean() < 6


def test_ppm_keeps_16_bits_and_gray():
    for channels, dtype in ((1, np.uint8), (3, np.uint16), (1, np.uint16)):
        pixels = scene(channels, dtype)
        data = encode_image(DecodedImage(pixels), ".pgm")
        np.testing.assert_array_equal(read_image(data).pixels, pixels)
    with pytest.raises(BadInput, match="PPM header"):
        read_image(b"P6\nx")


def test_heic_is_read_and_written_where_its_package_is_there(tmp_path):
    pytest.importorskip("pillow_heif")
    pixels = np.kron(scene(side=6), np.ones((8, 8, 1), np.uint8))
    data = encode_image(DecodedImage(pixels), ".heic")
    assert np.abs(read_image(data).pixels.astype(int) - pixels).mean() < 6


@pytest.mark.parametrize("length", [246, 251])
def test_names_of_255_bytes_can_be_written(tmp_path, length):
    path = tmp_path / ("b" * length + ".png")
    write_image(DecodedImage(scene()), path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_lists_of_windows_programs_are_read(tmp_path):
    data = make_data(tmp_path / "data")
    lines = ["trainA\\00.png", "trainA\\01.png"]
    (data / "trainA.txt").write_bytes("\ufeff".encode() + "\r\n".join(lines).encode() + b"\r\n")
    assert [path.name for path in domain_files(data, "trainA")] == ["00.png", "01.png"]


def test_masks_of_0_and_255_and_of_0_and_1_and_palettes_and_labels_are_the_same(tmp_path):
    inside = np.zeros((16, 16), np.uint8)
    inside[4:12] = 1
    Image.fromarray(inside * 255).save(tmp_path / "m255.png")
    Image.fromarray(inside).save(tmp_path / "m01.png")
    Image.fromarray(inside * 15).save(tmp_path / "label.png")
    palette = Image.fromarray(inside).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    palette.save(tmp_path / "palette.png")
    for name in ("m255", "m01", "label", "palette"):
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png")[..., 0], inside * 255)
    soft = np.linspace(0, 255, 256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(soft).save(tmp_path / "soft.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "soft.png")[..., 0], soft)


def test_masks_that_select_nothing_and_pages_that_are_not_used_are_told(tmp_path):
    data = make_data(tmp_path / "data")
    for side in "AB":
        (data / f"masks{side}").mkdir()
        for path in (data / f"train{side}").iterdir():
            value = 0 if path.name == "00.png" and side == "A" else 255
            Image.new("L", (40, 36), value).save(data / f"masks{side}" / path.name)
    stack = np.stack([scene(1)[..., 0]] * 5)
    tifffile.imwrite(data / "trainB/stack.tif", stack, photometric="minisblack", metadata=None)
    tifffile.imwrite(data / "trainB/imagej.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    frames = [Image.fromarray(scene())] * 2 + [Image.new("RGB", (24, 24))]
    frames[0].save(data / "trainB/moving.webp", save_all=True, append_images=frames[1:])
    notes = "\n".join(examine(data).notes)
    assert "masksA: 1 of 6 masks select nothing (0 everywhere): 00.png" in notes
    assert "trainB: " in notes and "are not used (data.pages first): imagej.tif, moving.webp, stack.tif" in notes


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_premultiplied_alpha_is_taken_out_at_any_depth(dtype):
    top = 1.0 if dtype == np.float32 else 65535
    straight = np.array([[[0.5, 0.25, 1.0]]]) * top
    pixels = np.concatenate([straight * 0.5, [[[0.5 * top]]]], axis=2).astype(dtype)
    import io

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", extrasamples=["assocalpha"])
    decoded = read_image(buffer.getvalue())
    np.testing.assert_allclose(decoded.pixels, straight, rtol=2e-4)


def test_a_fourth_band_tagged_as_alpha_is_a_band_where_four_channels_are_asked_for():
    import io

    pixels = scene(4, np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(Domain(4).pixels(read_image(buffer.getvalue())), pixels)
    assert Domain(3).pixels(read_image(buffer.getvalue())).shape[2] == 3


def test_training_names_masks_that_select_nothing(tmp_path, capsys):
    data = make_data(tmp_path / "data")
    for side in "AB":
        (data / f"masks{side}").mkdir()
        for path in (data / f"train{side}").iterdir():
            Image.new("L", (40, 36), 0 if path.name == "01.png" else 255).save(data / f"masks{side}" / path.name)
    train(tiny(data, data__masks=True, optim__steps=1), tmp_path / "run")
    told = capsys.readouterr().err
    assert "masksA: 1 of 6 masks select nothing (0 everywhere): 01.png" in told
    assert "masksB: 1 of 5 masks select nothing (0 everywhere): 01.png" in told


@pytest.mark.parametrize("extra", ["unspecified", "unassalpha"])
@pytest.mark.slow
def test_four_bands_are_trained_on_as_four_channels_whatever_the_fourth_is_tagged_as(tmp_path, extra):
    data = make_data(tmp_path / "data")
    for path in [*data.glob("trainA/*"), *data.glob("testA/*")]:
        path.unlink()
        bands = np.random.default_rng(int(path.stem)).integers(0, 256, (36, 40, 4), np.uint8)
        tifffile.imwrite(path.with_suffix(".tif"), bands, photometric="rgb", extrasamples=[extra], metadata=None)
    settings = {"method__identity_weight": 0.0, "optim__steps": 1, "runtime__samples": 1}
    run = train(tiny(data, data__channels_a=4, **settings), tmp_path / "run")
    assert json.loads((run / "skipped.json").read_text())["used"] == {"trainA": 6, "trainB": 5}
    asked = {"unspecified": "expected 3 channels, found 4", "unassalpha": ""}[extra]
    found = [
        finding.message for finding in examine(data, cfg=tiny(data).data).findings if finding.severity == "refused"
    ]
    assert all(asked in message for message in found) and bool(found) == bool(asked)
