from __future__ import annotations

import numpy as np
import pytest

from tests.feature_sets import fakes, reals
from unpaired.metrics.fid import frechet_distance, memorization_informed


def test_equals_torch_fidelity_on_the_same_features():
    # torch-fidelity 0.4.0, fid_statistics_to_metric, on these very features
    assert frechet_distance(fakes(), reals()) == pytest.approx(1.1611055827321124, rel=1e-9)


def test_two_gaussians_in_one_dimension_by_hand():
    a, b = np.array([[-1.0], [1.0]]), np.array([[3.0], [7.0]])
    # means 0 and 5, variances 2 and 8: 25 + (sqrt 2 - sqrt 8)^2 = 27
    assert frechet_distance(a, b) == pytest.approx(27)


def test_zero_for_a_set_and_itself_also_with_fewer_images_than_features():
    few = np.random.default_rng(0).standard_normal((10, 64))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(reals(), reals()) == pytest.approx(0, abs=1e-9)


def test_the_short_cut_equals_the_matrix_root_where_covariances_are_singular():
    draws = np.random.default_rng(1)
    a, b = draws.standard_normal((7, 12)), draws.standard_normal((9, 12)) + 1
    roots = np.sqrt(np.linalg.eigvals(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).astype(complex)).real.sum()
    spread = np.cov(a, rowvar=False).trace() + np.cov(b, rowvar=False).trace()
    expected = np.square(a.mean(0) - b.mean(0)).sum() + spread - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("a", "b"), [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5, 4))])
def test_what_has_no_covariance_is_refused(a, b):
    with pytest.raises(ValueError, match="fid: expected"):
        frechet_distance(np.zeros(a), np.zeros(b))


def test_copies_of_real_images_are_punished_and_others_are_not():
    real = np.eye(4)
    near = np.array([[1.0, 0.1, 0, 0], [0, 1.0, 0.1, 0]])  # cosine of 1 / sqrt(1.01) to the nearest real row
    distance = 1 - 1 / np.sqrt(1.01)
    assert memorization_informed(3.0, near, real) == pytest.approx(3 / distance)
    far = np.array([[1.0, 1.0, 0, 0]])  # 1 - 1 / sqrt(2) = 0.29, above the bound
    assert memorization_informed(3.0, far, real) == 3
    assert memorization_informed(3.0, -real, real) > 1e14  # the absolute cosine: a negated row is a copy, too
