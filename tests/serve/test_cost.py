"""What translations cost, and which images are tiled or refused for it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest

from tests.data_sets import make_model
from unpaired import Translator
from unpaired.imaging.images import DecodedImage
from unpaired.inference.runtimes import Runtime
from unpaired.serve.cost import BYTES_BESIDE, MEASURED, Served, TooLarge

GB = 1e9


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return Translator.load(make_model(tmp_path_factory.mktemp("model")))


@dataclass(frozen=True)
class Costly(Runtime):
    """A runtime that takes known memory and time."""

    megabytes: int
    seconds: float
    channels_in: int = 3
    channels_out: int = 3
    size_multiple: int = 1
    min_size: int = 1
    label: str = "test"

    def __call__(self, images):
        taken = np.ones(self.megabytes * 2**20, np.uint8)
        time.sleep(self.seconds)
        return images[:, : len(taken)]


def test_memory_and_time_are_those_of_the_pass():
    served = Served(Translator("AtoB", Costly(100, 0.05)))
    served.measure()
    assert 95 * 2**20 < served.bytes_per_pixel * MEASURED**2 < 110 * 2**20
    assert served.seconds_per_pixel * MEASURED**2 >= 0.05


def test_what_does_not_fit_at_once_is_tiled_and_what_does_not_fit_in_tiles_is_refused(translator):
    size = (600, 700)
    need = 600 * 700 * (1e4 + BYTES_BESIDE)
    assert Served(translator, need + 1, bytes_per_pixel=1e4).tile_for(size) is None
    assert Served(translator, need - 1, bytes_per_pixel=1e4).tile_for(size) == 512
    small = Served(translator, 3 * GB, bytes_per_pixel=1e4)
    with pytest.raises(
        TooLarge, match=rf"700x600 needs about 3\.3 GB.* up to {small.max_pixels} pixels within 3\.0 GB"
    ):
        small.tile_for(size)
    side = int(small.max_pixels**0.5)
    assert small.tile_for((side, side)) is None
    with pytest.raises(TooLarge):
        small.tile_for((side + 32, side + 32))


def test_an_exported_network_is_never_tiled():
    served = Served(Translator("AtoB", Costly(1, 0)), memory=2 * GB, bytes_per_pixel=1e4)
    assert served.tile_for((400, 400)) is None
    with pytest.raises(TooLarge):
        served.tile_for((500, 500))


def test_what_takes_longer_than_allowed_is_refused_until_it_is_seen_to_be_faster(translator):
    served = Served(translator, seconds=10, seconds_per_pixel=1e-3)
    assert served.tile_for((100, 100)) is None
    with pytest.raises(TooLarge, match="about 0.0 GB and 11 s"):
        served.tile_for((104, 104))
    served.saw((256, 256), 20.0)
    assert served.tile_for((104, 104)) is None
    served.saw((256, 256), 40.0)
    assert served.seconds_per_pixel == pytest.approx(20 / 256**2)


def test_a_line_of_pixels_is_tiled_and_costs_a_part_of_its_padding(translator):
    served = Served(translator, bytes_per_pixel=1000.0)
    tile, need, _ = served.plan((1, 65_535))
    assert tile == 8192 and served.plan((65_535, 1))[0] == 8192
    assert need < 8 * 65_536 * 1000
    line = np.random.default_rng(0).integers(0, 256, (1, 65_535, 3), np.uint8)
    tiled = served.translate(DecodedImage(line)).pixels
    whole = translator.translate_decoded(DecodedImage(line)).pixels
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_tiles_give_the_image_that_the_whole_gives(translator):
    image = DecodedImage(np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8))
    served = Served(translator, memory=600 * 700 * 1000, bytes_per_pixel=1000.0)
    assert served.tile_for((600, 700)) == 512
    whole = translator.translate_decoded(image).pixels
    assert np.abs(served.translate(image).pixels.astype(int) - whole).max() <= 1
