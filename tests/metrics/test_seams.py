import numpy as np
import pytest

from unpaired.metrics.seams import seam_score


def texture(side=256, seed=0):
    return np.random.default_rng(seed).normal(128, 20, (side, side, 3)).clip(0, 255).astype(np.uint8)


def test_a_texture_has_no_seams_wherever_tiles_are_said_to_be():
    for tile in (32, 64):
        assert seam_score(texture(512), tile) == pytest.approx(1, abs=0.02)


def test_a_ramp_has_none_and_tiles_of_their_own_brightness_have_many():
    rows, columns = np.mgrid[:128, :128].astype(np.float32)
    ramp = (rows + columns)[..., None]
    assert seam_score(ramp, 32) == 1
    stepped = ramp + 10 * ((rows // 32 + columns // 32) % 2)[..., None]
    assert seam_score(stepped, 32) == pytest.approx((9 + 11) / 2, rel=0.2)  # steps of 1 become 11 or 9


def test_the_network_s_own_pattern_is_not_taken_for_a_seam():
    pattern = texture().astype(np.float32)
    pattern[3::4] += 60
    pattern[:, 3::4] += 60
    assert seam_score(pattern, 64, period=4) == pytest.approx(1, abs=0.03)
    assert seam_score(pattern, 64, period=1) > 1.3


def test_a_single_shifted_tile_is_seen():
    image = texture(512).astype(np.float32)
    image[64:128, 64:128] += 40
    assert seam_score(image, 64) > 1.02


@pytest.mark.parametrize(("tile", "period"), [(16, 4), (30, 4), (256, 4)])
def test_tiles_without_borders_or_room_are_refused(tile, period):
    with pytest.raises(ValueError, match="tile"):
        seam_score(texture(), tile, period)
