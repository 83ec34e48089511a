import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from unpaired.imaging.images import to_tensor
from unpaired.metrics.paired import PSNR_CAP, levels, mean_abs_error, psnr, ssim


def flat(level: float, batch: int = 1) -> torch.Tensor:
    """A batch of 3-channel 16 px images of one 8-bit level."""
    return torch.full((batch, 3, 16, 16), level / 127.5 - 1)


def test_levels_round_to_what_a_file_would_hold_and_clip():
    images = torch.tensor([-1.5, -1.0, 0.0, 10.4 / 127.5 - 1, 10.6 / 127.5 - 1, 1.0, 2.0]).view(1, 1, 1, -1)
    assert levels(images).flatten().tolist() == [0, 0, 128, 10, 11, 255, 255]  # 127.5 rounds to even


def test_mean_abs_error_counts_8_bit_levels_of_each_image():
    output = torch.cat([flat(10), flat(0), flat(50)])
    truth = torch.cat([flat(13), flat(255), flat(50)])
    assert mean_abs_error(output, truth).tolist() == [3, 255, 0]


def test_differences_below_half_a_level_do_not_count():
    assert mean_abs_error(flat(100.4), flat(100)).item() == 0


def test_psnr_matches_a_value_worked_by_hand():
    # squared error 25 everywhere: 10 log10(65025 / 25) = 34.1514 dB
    assert psnr(flat(105), flat(100)).item() == pytest.approx(10 * math.log10(65025 / 25), abs=1e-4)
    assert psnr(flat(0), flat(255)).item() == 0


def test_psnr_of_identical_images_is_the_cap_and_not_infinite():
    assert psnr(flat(7), flat(7)).item() == PSNR_CAP


@pytest.mark.parametrize(("shape", "noise"), [((64, 64, 3), 5), ((37, 50, 3), 60), ((64, 48, 1), 20), ((11, 11, 3), 9)])
def test_ssim_equals_that_of_scikit_image(shape, noise):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    smooth = 127 + 120 * np.sin(rows / 7 + columns / 11)[..., None] * np.ones(shape[2])
    truth = smooth.clip(0, 255).astype(np.uint8)
    output = (smooth + rng.normal(0, noise, shape)).clip(0, 255).astype(np.uint8)
    theirs = structural_similarity(
        output, truth, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1
    )
    ours = ssim(to_tensor(output)[None], to_tensor(truth)[None])
    assert ours.item() == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("low", [0, 128, 250])
def test_ssim_keeps_its_precision_in_flat_areas(low):
    rng = np.random.default_rng(1)
    truth, output = (rng.integers(low, low + 3, (64, 64, 3), np.uint8) for _ in range(2))
    theirs = structural_similarity(
        output.astype(np.float64),
        truth.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
    )
    assert ssim(to_tensor(output)[None], to_tensor(truth)[None]).item() == pytest.approx(theirs, abs=1e-9)


def test_every_measure_scores_each_image_by_itself():
    output, truth = torch.rand(3, 3, 20, 20) * 2 - 1, torch.rand(3, 3, 20, 20) * 2 - 1
    for measure in (mean_abs_error, psnr, ssim):
        together = measure(output, truth)
        alone = [measure(output[k : k + 1], truth[k : k + 1]).item() for k in range(3)]
        assert together.tolist() == pytest.approx(alone, rel=1e-5)


def test_shapes_that_differ_and_images_below_the_window_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        mean_abs_error(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(torch.zeros(1, 3, 10, 64), torch.zeros(1, 3, 10, 64))
