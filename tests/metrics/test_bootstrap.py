import math

import numpy as np
import pytest

from unpaired.metrics import bootstrap
from unpaired.metrics.bootstrap import mean_interval, ratio_interval


def test_the_interval_of_a_mean_is_near_what_theory_gives():
    values = np.random.default_rng(3).normal(50, 10, 400)
    interval = mean_interval(values)
    reach = 1.96 * values.std() / math.sqrt(400)
    assert interval.n == 400
    assert interval.low == pytest.approx(values.mean() - reach, abs=0.15)
    assert interval.high == pytest.approx(values.mean() + reach, abs=0.15)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    spans = [mean_interval(rng.normal(0, 1, 60)) for _ in range(300)]
    covered = sum(span.low <= 0 <= span.high for span in spans)
    assert 0.90 <= covered / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(monkeypatch):
    values = np.arange(30.0)
    first = mean_interval(values)
    assert mean_interval(values) == first
    monkeypatch.setattr(bootstrap, "SEED", 2)
    assert mean_interval(values) != first


def test_equal_values_or_a_single_image_have_an_interval_without_width():
    assert (mean_interval(np.full(9, 4.0)).low, mean_interval(np.full(9, 4.0)).high) == (4, 4)
    assert (mean_interval(np.array([7.0])).low, mean_interval(np.array([7.0])).high) == (7, 7)


def test_copies_of_an_image_do_not_narrow_the_interval_when_they_are_one_group():
    values = np.random.default_rng(0).normal(0, 1, 40)
    copies, group = np.repeat(values, 9), np.repeat(np.arange(40), 9)
    single, fooled, grouped = (mean_interval(*a) for a in ((values,), (copies,), (copies, group.tolist())))
    assert fooled.high - fooled.low < 0.5 * (single.high - single.low)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=1e-6)


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios():
    top, bottom = np.array([0.0, 90.0] * 20), np.array([10.0, 90.0] * 20)
    span = ratio_interval(top, bottom)
    assert span.low < 0.9 < span.high  # 90 / 100; the mean of the ratios would be 0.5
    assert span.low > 0.75


def test_images_without_water_do_not_break_the_ratio():
    span = ratio_interval(np.array([0.0, 0.0, 3.0]), np.array([0.0, 0.0, 4.0]))
    assert (span.low, span.high) == (0.75, 0.75)
    nothing = ratio_interval(np.zeros(3), np.zeros(3))
    assert math.isnan(nothing.low) and math.isnan(nothing.high)


def test_no_images_or_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="an image"):
        mean_interval(np.array([]))
    with pytest.raises(ValueError, match="3, 3 and 2"):
        mean_interval(np.zeros(3), groups=["a", "b"])
