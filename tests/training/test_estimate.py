"""How long a run will take: said after a few timed steps, with what would be faster where it is long."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.data_sets import make_data, tiny
from unpaired.config import OptimConfig
from unpaired.experiment import with_settings
from unpaired.presets import horse2zebra, smoke
from unpaired.training import estimate, train
from unpaired.training.estimate import TIMED, WARM_UP, TimeEstimate
from unpaired.training.schedule import Schedule

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
HOUR = 3600.0


def published(device=CPU, **settings):
    """The published run on 1,334 images: 200 epochs, 266,800 steps."""
    experiment = with_settings(horse2zebra(), {key.replace("__", "."): value for key, value in settings.items()})
    return TimeEstimate(experiment, Schedule(experiment.optim, 1334), 0, device)


class Log:
    """A clock of two seconds a step for the first steps, then half a second."""

    def __init__(self):
        self.training_seconds = 0.0


class Heard:
    def __init__(self):
        self.log, self.lines = Log(), []

    def say(self, line, once=""):
        self.lines.append(line)


def lines_of(each, seconds_a_step, first=0.0):
    """What is said in the first 20 steps; the first steps of a run take `first` seconds longer each."""
    heard = Heard()
    for step in range(1, 21):
        heard.log.training_seconds += seconds_a_step + (first if step <= WARM_UP else 0)
        if each.due(step):
            each.run(step, heard, lambda: False)
    return heard.lines


def test_the_time_is_that_of_the_timed_steps_times_the_steps_left():
    """0.25 s a step, of 266,792 steps: 18 h 31 min; slow first steps do not count."""
    (line,) = lines_of(published(CUDA, data__crop_size=128, data__load_size=143), 0.25, first=30)
    assert line.startswith("about 18 h 31 min for 200 epochs")


def test_a_long_run_on_a_cpu_names_what_would_be_faster():
    (line,) = lines_of(published(), 2.0)
    assert "; faster: a CUDA GPU (--runtime.device cuda), 128 px (--data.load-size 143 --data.crop-size 128)" in line
    assert "about 37 h 03 min" in line  # a quarter of 148 h 13 min


def test_the_faster_crop_keeps_the_proportions():
    settings = {"data__load_size": "572x286", "data__crop_size": "512x256"}
    (line,) = lines_of(published(**settings), 2.0)
    assert "256x128 px (--data.load-size 286x143 --data.crop-size 256x128), about 37 h 03 min" in line


def test_a_run_of_less_than_an_hour_names_nothing_faster_and_a_short_one_says_nothing():
    experiment = replace(smoke(), optim=OptimConfig(steps=1000))
    each = TimeEstimate(experiment, Schedule(experiment.optim, 6), 0, CPU)
    assert lines_of(each, 1.0) == ["about 16 min 32 s for 992 steps"]
    assert lines_of(each, 0.01) == []


def test_a_resumed_run_is_told_the_time_of_what_is_left():
    experiment = horse2zebra()
    each = TimeEstimate(experiment, Schedule(experiment.optim, 1334), 133_400, CUDA)
    assert not each.due(WARM_UP) and each.due(133_400 + WARM_UP) and each.due(133_400 + WARM_UP + TIMED)
    assert each.describe(133_408, 1800) == "about 30 min 00 s for 100 epochs"


@pytest.mark.slow
def test_a_run_says_it_among_its_first_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(estimate, "WORTH_SAYING", 0.0)
    steps = WARM_UP + TIMED + 4
    train(tiny(make_data(tmp_path / "data"), optim__steps=steps, runtime__validate_every=0), tmp_path / "run")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("about ")]
    assert line.endswith("for 4 steps")


@pytest.mark.parametrize("steps", [1, WARM_UP, WARM_UP + TIMED])
def test_a_run_that_ends_with_the_timed_steps_has_no_estimate(steps):
    each = TimeEstimate(smoke(), Schedule(OptimConfig(steps=steps), 6), 0, CPU)
    assert not any(each.due(step) for step in range(steps + 1))
