from __future__ import annotations

import numpy as np
import pytest

from tests.feature_sets import fakes, feature_set, reals
from unpaired.metrics.kid import cmmd, kernel_distance, unbiased_mmd


def test_equals_torch_fidelity_on_the_same_features():
    kid = kernel_distance(fakes(), reals(), subset_size=100)  # its 0.4.0, kid_features_to_metric, seed 2020
    assert (kid.mean, kid.std) == pytest.approx((0.14096804246994213, 0.05216579476593358), rel=1e-9)
    assert kid.subset_size == 100


def test_two_points_each_by_hand():
    x, y = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    # kernel (xy + 1)^3: within x 1, within y 1, between the mean of 1, 1, 1, 27
    assert unbiased_mmd(x, y) == pytest.approx(1 + 1 - 2 * 7.5)


def test_unbiased_over_many_draws_of_one_distribution_and_biased_if_the_diagonal_stayed():
    found = [unbiased_mmd(feature_set(20, 2 * k, 0, 4), feature_set(20, 2 * k + 1, 0, 4)) for k in range(300)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error


def test_subsets_are_no_larger_than_the_smaller_set():
    kid = kernel_distance(fakes()[:30], reals())
    assert kid.subset_size == 30


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="at least 2 rows"):
        kernel_distance(fakes()[:1], reals())


def test_cmmd_of_two_opposite_directions_by_hand():
    x, y = np.array([[1.0, 0.0]]), np.array([[-3.0, 0.0]])  # length does not matter, only direction
    assert cmmd(x, y) == pytest.approx(1000 * (2 - 2 * np.exp(-4 / 200)))
    assert cmmd(x, 5 * x) == pytest.approx(0, abs=1e-9)
