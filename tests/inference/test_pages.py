"""Files of several pages are refused by name; the other files are translated."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.inference.pages import page_count, require_one_page


def volume(*shape):
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "options", "pages"),
    [
        ((12, 8, 9), {"metadata": {"axes": "ZYX"}}, 12),
        ((12, 8, 9), {"metadata": None}, 12),
        ((12, 8, 9), {"imagej": True, "metadata": {"axes": "ZYX"}}, 12),
        ((4, 3, 8, 9), {"imagej": True, "metadata": {"axes": "ZCYX"}}, 4),
        ((3, 8, 9), {"imagej": True, "metadata": {"axes": "CYX"}}, 1),
        ((8, 9), {}, 1),
    ],
)
def test_pages_of_a_tiff_are_those_over_its_channels(tmp_path, shape, options, pages):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, volume(*shape), photometric="minisblack", **options)
    assert page_count(path) == pages


def test_an_animation_is_refused_and_says_how_many_frames_it_has(tmp_path):
    frames = [Image.new("RGB", (8, 8), (40 * k, 0, 0)) for k in range(6)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(BadInput, match="holds 6 pages or frames"):
        require_one_page(tmp_path / "a.webp")
    frames[0].save(tmp_path / "one.webp")
    require_one_page(tmp_path / "one.webp")


def test_pyramid_levels_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.tif") as tiff:
        tiff.write(volume(64, 64), photometric="minisblack", metadata=None)
        tiff.write(volume(32, 32), photometric="minisblack", metadata=None, subfiletype=1)
    assert page_count(tmp_path / "p.tif") == 1
