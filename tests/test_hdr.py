"""HDR and wide-gamut colours against values of the standards."""

from __future__ import annotations

import numpy as np
import pytest

from unpaired.imaging import hdr
from unpaired.imaging.hdr import BT2020, HLG, PQ, WideColours


@pytest.mark.parametrize(("luminance", "signal"), [(0, 0), (100, 0.5081), (203, 0.5807), (1000, 0.7518), (10_000, 1)])
def test_pq_has_the_signals_of_its_standard(luminance, signal):
    """Those of ITU-R BT.2408, Table 1, and BT.2390."""
    assert hdr.luminance_to_pq(np.array(luminance)) == pytest.approx(signal, abs=5e-5)
    assert hdr.pq_to_luminance(np.array(signal)) == pytest.approx(luminance, rel=1e-3, abs=1e-9)


def test_hlg_has_the_light_of_its_standard():
    """ITU-R BT.2100: 0.5 is a twelfth of full light; BT.2408: reference white, 0.75, is 203 of 1000 cd/m^2."""
    np.testing.assert_allclose(hdr.hlg_to_scene(np.array([0, 0.5, 1])), [0, 1 / 12, 1], atol=1e-6)
    assert 1000 * hdr.hlg_to_scene(np.array(0.75)) ** 1.2 == pytest.approx(203, abs=0.5)


def test_the_curve_of_bt2390_is_that_worked_by_hand():
    """With m = PQ(203) / PQ(1000), the spline at 203 cd/m^2 has T = 1/3 for any m, and so the value (31 m - 4) / 27."""
    m = 0.580689 / 0.751827
    white = float(hdr.pq_to_luminance(np.array((31 * m - 4) / 27 * 0.751827)))
    found = hdr.compressed(np.array([0.0, 1, 87, 203, 1000, 4000]))
    np.testing.assert_allclose(found, [0, 1, 87, white, 203, 203], rtol=1e-4, atol=1e-9)
    assert (np.diff(hdr.compressed(np.linspace(0, 1000, 500))) > 0).all()


def test_red_of_bt2020_and_of_p3_in_bt709_before_clipping():
    """The first column of ITU-R BT.2087; and that of Display P3, known from CSS Color 4."""
    np.testing.assert_allclose(hdr.to_bt709(BT2020)[:, 0], [1.6605, -0.1246, -0.0182], atol=1e-4)
    np.testing.assert_allclose(hdr.to_bt709(12)[:, 0], [1.2249, -0.0420, -0.0196], atol=1e-4)
    np.testing.assert_allclose(hdr.to_bt709(1), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(hdr.to_xyz(BT2020)[1], [0.2627, 0.6780, 0.0593], atol=1e-4)


@pytest.mark.parametrize(("transfer", "primaries"), [(PQ, 9), (HLG, 9), (PQ, 12), (1, 9), (1, 12), (13, 12), (14, 9)])
def test_white_stays_white_black_black_and_grey_neutral(transfer, primaries):
    colours = WideColours(transfer, primaries, 9)
    top = 0.751827 if transfer == PQ else 1
    grey = np.linspace(0, top, 64, dtype=np.float32)[None, :, None].repeat(3, -1)
    found = colours.to_sdr(grey)
    assert (found == found[..., :1]).all()
    assert found[0, 0, 0] == 0 and found[0, -1, 0] == 255 and (np.diff(found[0, :, 0].astype(int)) >= 0).all()


def test_wide_gamut_sdr_changes_only_its_primaries():
    """Red becomes 0.4 * 1.6605^(1 / 2.4) = 0.494 of the signal, its green and blue are below zero; grey stays."""
    pixels = np.array([[[0.4, 0, 0], [0.4, 0.4, 0.4]]], np.float32)
    np.testing.assert_array_equal(WideColours(14, 9, 9).to_sdr(pixels), [[[126, 0, 0], [102, 102, 102]]])


@pytest.mark.parametrize(("full", "bits", "code"), [(False, 10, (450, 397, 609)), (True, 8, (112, 95, 156))])
def test_the_matrix_of_bt2020(full, bits, code):
    """R'G'B' = 0.6, 0.4, 0.2: Y' = 0.4407, Cb = -0.2407 / 1.8814 = -0.1279, Cr = 0.1593 / 1.4746 = 0.1080."""
    ycbcr = (np.array([[code]]) << (16 - bits)).astype(np.uint16)
    found = hdr.rgb_of(ycbcr, BT2020, full, bits)
    np.testing.assert_allclose(found, [[[0.6, 0.4, 0.2]]], atol=2 / 2**bits)


def test_sdr_of_bt709_is_left_alone():
    assert WideColours.of(1, 1, 1) is None
    assert WideColours.of(2, 2, 2) is None
    assert WideColours.of(6, 6, 6) is None
    assert WideColours.of(PQ, 2, 2) == WideColours(PQ, 9, 9)
