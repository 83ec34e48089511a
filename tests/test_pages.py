"""Stacks and animations, page by page, against tifffile and Pillow."""

from __future__ import annotations

import gc
import struct
import weakref
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage, read_image, write_image
from unpaired.imaging.page_writers import write_pages
from unpaired.imaging.pages import open_pages, read_header
from unpaired.imaging.pixels import Layout, NoData

UM = {"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "um", "PhysicalSizeZ": 0.5}

UNIT = {"unit": "um", "spacing": 2.0}


def volume(*shape: int, dtype: type = np.uint16):
    return (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)


def ome_of(path) -> str:
    with tifffile.TiffFile(path) as tiff:
        assert tiff.ome_metadata
        return tiff.ome_metadata


def expected(pixels, axes):
    """The images of an array whose axes are named, as (h, w, c)."""
    if "C" in axes:
        pixels, axes = np.moveaxis(pixels, axes.index("C"), -1), axes.replace("C", "") + "C"
    if axes[-1] not in "CS":
        pixels = pixels[..., None]
    return list(pixels.reshape(-1, *pixels.shape[-3:]))


STACKS = [
    ("ZYX", (12, 8, 9), np.uint16, {"ome": True, "metadata": {"axes": "ZYX", **UM}}),
    ("TZYX", (3, 4, 8, 9), np.float32, {"ome": True, "metadata": {"axes": "TZYX"}, "compression": "zlib"}),
    ("CZYX", (3, 4, 8, 9), np.uint16, {"ome": True, "metadata": {"axes": "CZYX"}}),
    ("TYXS", (5, 8, 9, 3), np.uint8, {"ome": True, "metadata": {"axes": "TYXS"}}),
    ("ZYX", (12, 8, 9), np.uint16, {"imagej": True, "metadata": {"axes": "ZYX", **UNIT}}),
    ("TZCYX", (2, 2, 3, 8, 9), np.uint16, {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    ("ZYXS", (5, 8, 9, 3), np.uint8, {"imagej": True, "metadata": {"axes": "ZYXS"}}),
    ("ZYX", (12, 8, 9), np.uint16, {"metadata": {"axes": "ZYX"}}),
    ("IYX", (12, 8, 9), np.uint16, {"metadata": None}),
]


@pytest.mark.parametrize(("axes", "shape", "dtype", "options"), STACKS)
def test_every_image_of_a_stack_is_read_and_its_axes_are_written_again(tmp_path, axes, shape, dtype, options):
    pixels, path = volume(*shape, dtype=dtype), tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb" if axes[-1] == "S" else "minisblack", **options)
    right = expected(pixels, axes)
    assert read_image(path).pages == read_header(path).pages == len(right)
    np.testing.assert_array_equal(read_image(path).pixels, right[0])
    with open_pages(path) as pages:
        images = list(pages)
        write_pages(iter(images), pages.layout, tmp_path / "b.tif")
    for image, wanted in zip(images, right, strict=True):
        assert image.pixels.dtype == dtype and image.pages == 1
        np.testing.assert_array_equal(image.pixels, wanted)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        order = axes.replace("C", "").replace("YX", "CYX") if "C" in axes else axes
        assert tiff.series[0].axes == order
        written = np.moveaxis(pixels, axes.index("C"), -3) if "C" in axes else pixels
        np.testing.assert_array_equal(tiff.asarray(), written)
        assert (tiff.is_ome, tiff.is_imagej) == ("ome" in options, "imagej" in options)
        if "imagej" in options and "unit" in options["metadata"]:
            assert UNIT.items() <= (tiff.imagej_metadata or {}).items()
        if "PhysicalSizeX" in (options["metadata"] or {}):
            found = tifffile.xml2dict(ome_of(tmp_path / "b.tif"))["OME"]["Image"]["Pixels"]
            assert {key: found[key] for key in UM} == UM


def test_a_gray_stack_made_coloured_keeps_its_axes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", volume(2, 3, 8, 9), imagej=True, metadata={"axes": "TZYX"})
    with open_pages(tmp_path / "a.tif") as pages:
        coloured = (DecodedImage(np.repeat(page.pixels, 3, axis=2)) for page in pages)
        write_pages(coloured, pages.layout, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.series[0].axes == "TZCYX" and tiff.series[0].shape == (2, 3, 3, 8, 9)


def test_a_stack_of_one_page_of_channels_is_one_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", volume(3, 8, 9), imagej=True, metadata={"axes": "CYX"})
    assert read_header(tmp_path / "a.tif") == (8, 9, 1)
    assert read_image(tmp_path / "a.tif").pixels.shape == (8, 9, 3)


def test_pages_of_another_size_are_counted_as_left_out(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for side in (64, 64, 32):
            tiff.write(volume(side, side), photometric="minisblack", metadata=None)
    with open_pages(tmp_path / "a.tif") as pages:
        assert (pages.layout.count, pages.left_out) == (2, 1)


def test_pages_written_one_by_one_are_all_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for number in range(3):  # tifffile describes each as a series of its own
            tiff.write(volume(8, 9) + np.uint16(number), photometric="minisblack")
    with open_pages(tmp_path / "a.tif") as pages:
        assert [int(page.pixels[0, 0, 0]) for page in pages] == [0, 1, 2]


def test_pages_in_the_care_of_pillow_are_read_too(tmp_path):
    frames = [Image.fromarray(np.full((8, 9), 50 * k, np.uint8)).convert("P") for k in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with open_pages(tmp_path / "a.tif") as pages:
        assert [int(page.pixels[0, 0, 0]) for page in pages] == [0, 50, 100]


def test_an_ome_tiff_that_names_other_files_reads_itself_alone(tmp_path):
    tifffile.imwrite(tmp_path / "other.ome.tif", volume(2, 8, 9), metadata={"axes": "ZYX"})
    xml = ome_of(tmp_path / "other.ome.tif")
    uuid = xml.split('UUID="')[1].split('"')[0]
    data = '<TiffData FirstZ="{}" IFD="0" PlaneCount="1"><UUID FileName="{}">{}</UUID></TiffData>'
    both = data.format(0, "a.ome.tif", uuid) + data.format(1, "other.ome.tif", uuid[:-4] + "0000")
    named = xml[: xml.index("<TiffData")] + both + xml[xml.index("</Pixels>") :]
    tifffile.imwrite(tmp_path / "a.ome.tif", volume(8, 9), description=named.encode(), metadata=None)
    with open_pages(tmp_path / "a.ome.tif") as pages:
        assert [page.pixels.shape for page in pages] == [(8, 9, 1)]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
@pytest.mark.parametrize("loop", [0, 3])
def test_an_animation_keeps_frames_times_and_loop(tmp_path, suffix, loop):
    times = [100, 200, 300, 50]
    frames = [np.full((8, 9, 3), 40 * k + 10, np.uint8) for k in range(4)]
    for k, frame in enumerate(frames):
        frame[k] = (255, 0, 0)
    images = [Image.fromarray(frame) for frame in frames]
    source = tmp_path / f"a{suffix}"
    images[0].save(source, save_all=True, append_images=images[1:], duration=times, loop=loop, lossless=True)
    assert read_image(source).pages == read_header(source).pages == 4
    with open_pages(source) as pages:
        write_pages(iter(pages), pages.layout, tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as out:
        assert getattr(out, "n_frames", 1) == 4 and out.info["loop"] == loop
        for k, frame in enumerate(frames):
            out.seek(k)
            out.load()
            assert out.info["duration"] == times[k]
            np.testing.assert_array_equal(np.asarray(out.convert("RGB")), frame)


def test_a_gif_that_is_shown_once_stays_so_and_an_opaque_frame_hides_the_one_before(tmp_path):
    alpha = np.full((8, 9, 1), 255, np.uint8)
    pages = []
    for k in range(3):
        clear = alpha.copy()
        clear[:, k] = 0
        pages.append(DecodedImage(np.full((8, 9, 3), 60 * k, np.uint8), clear))
    write_pages(iter(pages), Layout(3, "animation", loop=1), tmp_path / "a.gif")
    with open_pages(tmp_path / "a.gif") as again:
        assert again.layout.loop == 1
        for page, wanted in zip(again, pages, strict=True):
            np.testing.assert_array_equal(page.alpha, wanted.alpha)
            inside = wanted.alpha[..., 0] > 0
            np.testing.assert_array_equal(page.pixels[inside], wanted.pixels[inside])


def test_a_frame_of_a_gif_has_a_palette_of_its_own(tmp_path):
    frames = [np.stack(np.meshgrid(np.arange(16) * 16 + k, np.arange(16) * 16, [9 * k]), -1)[..., 0, :] for k in (0, 9)]
    pages = [DecodedImage(frame.astype(np.uint8)) for frame in frames]  # 256 colours each, 512 together
    write_pages(iter(pages), Layout(2, "animation"), tmp_path / "a.gif")
    with open_pages(tmp_path / "a.gif") as again:
        for page, wanted in zip(again, pages, strict=True):
            np.testing.assert_array_equal(page.pixels, wanted.pixels)


def test_an_animated_png_shows_its_first_frame_not_the_still_image_before_it(tmp_path):
    still, *frames = (Image.new("L", (9, 8), level) for level in (10, 20, 30))
    still.save(tmp_path / "a.png", save_all=True, append_images=frames, default_image=True)
    image = read_image(tmp_path / "a.png")
    assert (image.pages, image.pixels[0, 0, 0]) == (2, 20)
    with open_pages(tmp_path / "a.png") as pages:
        assert [page.pixels[0, 0, 0] for page in pages] == [20, 30]


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".png", ".webp"])
def test_writers_hold_no_more_than_the_present_page_and_the_first(tmp_path, suffix):
    alive = []

    def pages():
        for k in range(8):
            pixels = np.full((16, 16, 3), 20 * k, np.uint8)
            alive.append(weakref.ref(pixels))
            yield DecodedImage(pixels)
            del pixels
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 2

    write_pages(pages(), Layout(8, "animation"), tmp_path / f"a{suffix}")
    assert read_header(tmp_path / f"a{suffix}").pages == 8


def test_what_a_format_cannot_hold_is_refused_in_words(tmp_path):
    page = DecodedImage(np.zeros((8, 9, 3), np.uint16))
    for name, words in (("a.jpg", "holds one image, not 2"), ("a.webp", "cannot hold 3 channels of uint16")):
        with pytest.raises(BadInput, match=words):
            write_pages(iter([page, page]), Layout(2, "plain"), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_page_keeps_pixels_without_data(tmp_path):
    pixels = volume(2, 8, 9, dtype=np.float32)
    pixels[:, 0] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata=None)
    with open_pages(tmp_path / "a.tif") as pages:
        for page in pages:
            assert isinstance(page.nodata, NoData) and page.nodata.where[0].all() and not page.nodata.where[1:].any()


def test_damage_ends_in_one_line_that_names_the_file(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", volume(4, 64, 64), imagej=True, metadata={"axes": "ZYX"})
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) - 64 * 64])
    with pytest.raises(BadInput, match=r"a\.tif: "), open_pages(tmp_path / "a.tif") as pages:
        list(pages)
    write_image(DecodedImage(np.zeros((8, 8, 3), np.uint8)), tmp_path / "one.png")
    with open_pages(tmp_path / "one.png") as pages:
        assert pages.layout.count == 1 and next(iter(pages)).pixels.shape == (8, 8, 3)


def test_an_animated_png_of_16_bits_is_refused_with_what_to_do(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(2 * (b"\0" + bytes(range(12))))  # 2x2 of RGB
    control = [chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 2, 2, 0, 0, 1, 10, 0, 0)) for number in (0, 1)]
    (tmp_path / "deep.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
        + chunk(b"acTL", struct.pack(">II", 2, 0))
        + control[0]
        + chunk(b"IDAT", rows)
        + control[1]
        + chunk(b"fdAT", struct.pack(">I", 2) + rows)
        + chunk(b"IEND", b"")
    )
    with pytest.raises(BadInput, match="deep.png: animated PNG of 16 bits; save it with 8 bits, or each frame"):
        with open_pages(tmp_path / "deep.png"):
            pass


def test_an_ome_tiff_whose_first_image_has_no_pixels_is_read(tmp_path):
    path, pixels = tmp_path / "a.ome.tif", np.arange(40, dtype=np.uint16).reshape(2, 4, 5)
    sizes = 'DimensionOrder="XYZCT" SizeX="5" SizeY="4" SizeZ="2" SizeC="1" SizeT="1" Type="uint16"'
    second = f'<Image ID="Image:1"><Pixels ID="Pixels:1" {sizes}><TiffData/></Pixels></Image>'
    scheme = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    said = f'<?xml version="1.0"?><OME xmlns="{scheme}"><Image ID="Image:0"/>{second}</OME>'
    tifffile.imwrite(path, pixels, description=said, metadata=None, photometric="minisblack")
    assert np.array_equal(read_image(path).pixels[..., 0], pixels[0])
    assert read_header(path) == (4, 5, 2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_of_a_turned_photograph_has_the_sides_that_are_read(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (9, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_header(tmp_path / "a.jpg")[:2] == read_image(tmp_path / "a.jpg").pixels.shape[:2]
