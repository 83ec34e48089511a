import math

import numpy as np
import pytest

from unpaired.metrics import bootstrap


def test_the_interval_of_a_mean_is_near_what_theory_gives():
    values = np.random.default_rng(3).normal(50, 10, 400)
    interval = bootstrap.mean(values).interval
    reach = 1.96 * values.std() / math.sqrt(400)
    assert interval.n == 400
    assert interval.low == pytest.approx(values.mean() - reach, abs=0.15)
    assert interval.high == pytest.approx(values.mean() + reach, abs=0.15)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    spans = [bootstrap.mean(rng.normal(0, 1, 60)).interval for _ in range(300)]
    covered = sum(span.low <= 0 <= span.high for span in spans)
    assert 0.90 <= covered / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(monkeypatch):
    values = np.arange(30.0)
    first = bootstrap.mean(values).interval
    assert bootstrap.mean(values).interval == first
    monkeypatch.setattr(bootstrap, "SEED", 2)
    assert bootstrap.mean(values).interval != first


def test_equal_values_or_a_single_image_have_an_interval_without_width():
    assert (bootstrap.mean(np.full(9, 4.0)).interval.low, bootstrap.mean(np.full(9, 4.0)).interval.high) == (4, 4)
    assert (bootstrap.mean(np.array([7.0])).interval.low, bootstrap.mean(np.array([7.0])).interval.high) == (7, 7)


def test_copies_of_an_image_do_not_narrow_the_interval_when_they_are_one_group():
    values = np.random.default_rng(0).normal(0, 1, 40)
    copies, group = np.repeat(values, 9), np.repeat(np.arange(40), 9)
    single, fooled, grouped = (bootstrap.mean(*a).interval for a in ((values,), (copies,), (copies, group.tolist())))
    assert fooled.high - fooled.low < 0.5 * (single.high - single.low)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=1e-6)


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios():
    top, bottom = np.array([0.0, 90.0] * 20), np.array([10.0, 90.0] * 20)
    span = bootstrap.ratio(top, bottom).interval
    assert span.low < 0.9 < span.high  # 90 / 100; the mean of the ratios would be 0.5
    assert span.low > 0.75


def test_images_without_water_do_not_break_the_ratio():
    span = bootstrap.ratio(np.array([0.0, 0.0, 3.0]), np.array([0.0, 0.0, 4.0])).interval
    assert (span.low, span.high) == (0.75, 0.75)
    nothing = bootstrap.ratio(np.zeros(3), np.zeros(3)).interval
    assert math.isnan(nothing.low) and math.isnan(nothing.high)


def test_no_images_or_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="an image"):
        bootstrap.mean(np.array([]))
    with pytest.raises(ValueError, match="3, 3 and 2"):
        bootstrap.mean(np.zeros(3), groups=["a", "b"])


def test_a_difference_is_certain_where_hard_images_are_hard_for_both():
    hard = np.random.default_rng(1).normal(50, 20, 40)
    model, baseline = bootstrap.mean(hard), bootstrap.mean(hard + 2)
    assert model.interval.high > baseline.interval.low  # the two intervals overlap
    difference = (model - baseline).interval
    assert difference.low == pytest.approx(-2) == difference.high and difference.independent == 40


def test_the_difference_of_two_ratios_is_taken_within_each_draw():
    top, bottom = np.array([1.0, 8.0, 3.0]), np.array([10.0, 10.0, 4.0])
    half = bootstrap.ratio(top / 2, bottom)
    difference = bootstrap.ratio(top, bottom) - half
    assert difference.value == pytest.approx(12 / 24 - 6 / 24)
    np.testing.assert_allclose(difference.draws, half.draws)


def test_half_samples_reach_as_far_as_their_deviation_and_not_below_the_lowest_value():
    draws = np.array([3.0, 5.0])  # a deviation of the square root of 2
    estimate = bootstrap.Estimate(2.0, draws, 8, 4, normal=True, lowest=0)
    reach = 1.96 * math.sqrt(2)
    assert (estimate.interval.low, estimate.interval.high) == (0, pytest.approx(2 + reach))
    other = bootstrap.Estimate(5.0, draws - 1, 8, 3, normal=True, lowest=0)
    difference = estimate - other
    assert (difference.interval.low, difference.interval.high, difference.independent) == (-3, -3, 3)
