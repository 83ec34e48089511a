import pytest

from unpaired.config import OptimConfig
from unpaired.training.schedule import Schedule, multiplier


@pytest.mark.parametrize(
    ("epoch", "published"),
    [(100, 0.990099), (101, 0.980198), (149, 0.504950), (150, 0.495050), (198, 0.019802), (199, 0.009901)],
)
def test_the_rate_falls_by_the_published_table_over_the_second_hundred_epochs(epoch, published):
    assert multiplier(epoch, 100, 100) == pytest.approx(published, abs=5e-7)


def test_the_rate_is_full_for_the_first_hundred_epochs():
    assert {multiplier(epoch, 100, 100) for epoch in range(100)} == {1.0}


def test_the_rate_falls_by_equal_steps_and_never_reaches_zero():
    factors = [multiplier(epoch, 100, 100) for epoch in range(99, 200)]
    assert all(a - b == pytest.approx(1 / 101) for a, b in zip(factors, factors[1:], strict=False))
    assert factors[-1] == pytest.approx(1 / 101)


def test_the_rate_falls_at_once_when_no_epoch_keeps_it_full():
    assert multiplier(0, 0, 100) == pytest.approx(100 / 101)


@pytest.mark.parametrize("optim", [OptimConfig(decay_epochs=0), OptimConfig(decay_epochs=0, steps=500)])
def test_without_decay_the_rate_stays_constant(optim):
    schedule = Schedule(optim, steps_per_epoch=3)
    assert {schedule.factor(step) for step in range(schedule.steps)} == {1.0}


def test_a_run_by_epochs_changes_its_rate_between_epochs_only():
    schedule = Schedule(OptimConfig(epochs=2, decay_epochs=3), steps_per_epoch=4)
    assert schedule.steps == 20  # (2 + 3) * 4
    factors = [schedule.factor(step) for step in range(20)]
    assert factors == pytest.approx([1.0] * 8 + [0.75] * 4 + [0.5] * 4 + [0.25] * 4)


def test_the_published_run_on_horses_and_zebras_has_its_length():
    schedule = Schedule(OptimConfig(), steps_per_epoch=1334)  # the larger of 1067 and 1334 at batch 1
    assert schedule.steps == 266_800
    assert schedule.factor(133_399) == 1.0
    assert schedule.factor(133_400) == pytest.approx(0.990099, abs=5e-7)
    assert schedule.factor(266_799) == pytest.approx(0.009901, abs=5e-7)


@pytest.mark.parametrize("steps_per_epoch", [1, 7, 1334])
def test_a_run_by_steps_has_that_many_whatever_the_size_of_the_data(steps_per_epoch):
    schedule = Schedule(OptimConfig(steps=4000), steps_per_epoch)
    assert schedule.steps == 4000
    assert [schedule.factor(step) for step in (0, 1999)] == [1.0, 1.0]
    assert schedule.factor(2000) == pytest.approx(2000 / 2001)
    assert schedule.factor(3999) == pytest.approx(1 / 2001)


@pytest.mark.parametrize(
    ("epochs", "decay_epochs", "steps", "full"), [(100, 100, 20, 10), (30, 10, 400, 300), (0, 5, 10, 0), (1, 3, 8, 2)]
)
def test_a_run_by_steps_keeps_the_share_of_the_full_rate(epochs, decay_epochs, steps, full):
    schedule = Schedule(OptimConfig(epochs=epochs, decay_epochs=decay_epochs, steps=steps), steps_per_epoch=9)
    factors = [schedule.factor(step) for step in range(steps)]
    assert [factor == 1.0 for factor in factors] == [True] * full + [False] * (steps - full)
    assert factors == sorted(factors, reverse=True) and factors[-1] == pytest.approx(1 / (steps - full + 1))


def test_steps_given_as_epochs_times_their_length_need_not_be_given():
    by_epochs = Schedule(OptimConfig(epochs=10, decay_epochs=10), steps_per_epoch=1)
    by_steps = Schedule(OptimConfig(epochs=10, decay_epochs=10, steps=20), steps_per_epoch=1)
    assert [by_epochs.factor(k) for k in range(20)] == [by_steps.factor(k) for k in range(20)]


def test_schedule_step_takes_a_tenth_after_every_so_many_epochs():
    schedule = Schedule(OptimConfig(epochs=3, decay_epochs=1, schedule="step", decay_every=2), steps_per_epoch=2)
    assert [schedule.factor(step) for step in range(8)] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])


def test_schedule_cosine_falls_from_one_to_zero_over_its_epochs():
    schedule = Schedule(OptimConfig(epochs=1, decay_epochs=3, schedule="cosine"), steps_per_epoch=1)
    assert [schedule.factor(step) for step in range(5)] == pytest.approx([1, 0.853553, 0.5, 0.146447, 0], abs=1e-6)


@pytest.mark.parametrize("name", ["step", "cosine"])
def test_other_schedules_are_scaled_to_a_number_of_steps(name):
    by_epochs = Schedule(OptimConfig(epochs=6, decay_epochs=2, schedule=name, decay_every=2), steps_per_epoch=10)
    by_steps = Schedule(
        OptimConfig(epochs=6, decay_epochs=2, schedule=name, decay_every=2, steps=80), steps_per_epoch=9
    )
    for epoch in range(8):
        assert by_steps.factor(10 * epoch) == pytest.approx(by_epochs.factor(10 * epoch))


@pytest.mark.parametrize(("images", "steps"), [(50, 600), (100, 600), (200, 800), (400, 1000), (4000, 1000)])
def test_epochs_may_have_a_least_and_a_largest_number_of_steps(images, steps):
    schedule = Schedule(OptimConfig(epochs=3, decay_epochs=1, min_steps=600, max_steps=1000), steps_per_epoch=images)
    assert schedule.steps == steps
    full = sum(schedule.factor(step) == 1 for step in range(steps))
    assert full == steps * 3 // 4  # the decay keeps its quarter
    assert 0 < schedule.factor(steps - 1) < 0.51


@pytest.mark.parametrize(("limits", "name"), [({"min_steps": -1}, "min"), ({"min_steps": 9, "max_steps": 8}, "max")])
def test_limits_of_steps_are_checked(limits, name):
    with pytest.raises(ValueError, match=f"optim.{name}_steps"):
        OptimConfig(**limits)
