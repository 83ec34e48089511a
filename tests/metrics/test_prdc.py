from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from tests.feature_sets import fakes, reals
from unpaired.metrics.prdc import prdc, radii


def test_equals_its_authors_code_on_the_same_features():
    # prdc 0.2, compute_prdc with 5 neighbours, on these very features
    assert astuple(prdc(fakes(), reals())) == pytest.approx((0.8575, 0.8533333333333334, 0.919, 0.9333333333333333))


def test_points_on_a_line_by_hand():
    real, fake = np.array([[0.0], [1], [2], [10]]), np.array([[0.5], [1.5], [50], [51]])
    assert radii(real, 1).tolist() == [1, 1, 1, 8]
    found = prdc(fake, real, k=1)
    # in the balls around 0, 1, 2 and 10 lie 0.5; 0.5 and 1.5; 1.5; nothing
    assert (found.precision, found.density, found.coverage) == (0.5, 4 / 4, 3 / 4)
    # the fakes' balls reach 1, 1, 1, 1: 0, 1, 2 lie in one, 10 does not
    assert found.recall == 3 / 4


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="more than 5 rows"):
        prdc(fakes()[:5], reals())
