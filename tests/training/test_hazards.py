"""What happens around a run: clocks that jump, a folder that is removed, a report that fails."""

from __future__ import annotations

import json
import shutil
import time
from types import SimpleNamespace

import pytest

from tests.data_sets import make_data, tiny
from tests.training.test_run import assert_same_end, lines, read_events, stop_at
from unpaired import cli
from unpaired.core.errors import BadInput, Stopped
from unpaired.training import events, train
from unpaired.training.trainer import Trainer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("hazards") / "data")


DECADES = 40 * 365 * 86400.0


@pytest.mark.parametrize("jump", [DECADES, -DECADES])
def test_a_clock_that_jumps_decades_changes_nothing(data, tmp_path, monkeypatch, jump):
    """After the second step; one process, an event file and a progress bar run on."""
    expected = train(tiny(data), tmp_path / "expected")
    plain, clock, steps = Trainer.train_step, time.time, []

    def train_step(self, *batch):
        steps.append(1)
        if len(steps) == 2:
            monkeypatch.setattr(time, "time", lambda: clock() + jump)
        return plain(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    run = train(tiny(data), tmp_path / "run")
    monkeypatch.undo()
    assert_same_end(run, expected)
    assert [line["step"] for line in lines(run)] == [2, 4, 6]
    assert [event.step for event in read_events(run).Scalars("gan/G")] == [2, 4, 6]
    assert all(0 <= line["seconds"] < 600 for line in lines(run))


def test_event_files_are_read_in_the_order_of_the_runs_whatever_the_clock_says(tmp_path, monkeypatch):
    """The second file is written by a clock that is decades behind; what it repeats replaces what the first had."""
    for start, now in ((0, 2e9), (1, 1e8)):
        monkeypatch.setattr(events, "time", SimpleNamespace(time=lambda now=now: now))
        file = events.EventFile(tmp_path / "tensorboard", start)
        for step in range(start + 1, start + 4):
            file.scalar(step, "loss", float(start))
        file.close()
    found = read_events(tmp_path).Scalars("loss")
    assert [(event.step, event.value) for event in found] == [(1, 0.0), (2, 1.0), (3, 1.0), (4, 1.0)]


def test_a_run_whose_folder_is_removed_says_so(data, tmp_path, monkeypatch, capsys):
    plain, run, steps = Trainer.train_step, tmp_path / "run", []

    def train_step(self, *batch):
        steps.append(1)
        if len(steps) == 3:
            shutil.rmtree(run)
        return plain(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    with pytest.raises(BadInput, match=r"run: the run's folder was removed or renamed during training") as caught:
        train(tiny(data), run)
    assert "\n" not in str(caught.value) and len(steps) < 6


def test_the_report_is_rewritten_with_each_sample_grid_and_after_a_stop(data, tmp_path, monkeypatch):
    """Samples are due at 0, 3 and 6; the stop comes in step 4."""
    seen = []

    def report(run):
        grids = len(list((run / "samples").glob("*.png")))
        seen.append((grids, len(lines(run)) if (run / "metrics.jsonl").exists() else 0))

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="after step 4"):
        stop_at(patch, 4)
        train(tiny(data), tmp_path / "run", report=report)
    assert seen == [(2, 0), (4, 1), (4, 2)]
    train(tiny(data), tmp_path / "run", report=report)
    assert seen[3:] == [(6, 3)]


def test_a_report_that_cannot_be_written_does_not_end_the_run(data, tmp_path, capsys):
    def report(run):
        raise OSError(28, "No space left on device")

    run = train(tiny(data), tmp_path / "run", report=report)
    assert_same_end(run, train(tiny(data), tmp_path / "plain"))
    said = [line for line in capsys.readouterr().err.splitlines() if "report was not written" in line]
    assert len(said) == 1 and said[0].startswith("step 0: ")


def test_the_command_line_leaves_a_report_after_a_stop(data, tmp_path, monkeypatch, capsys):
    stop_at(monkeypatch, 1)
    command = [
        "train",
        "smoke",
        "--data",
        data,
        "--out",
        tmp_path / "run",
        "--steps",
        "4",
        "--runtime.precision",
        "fp32",
    ]
    assert cli.run([str(word) for word in command]) == 75
    assert "<html" in (tmp_path / "run/report.html").read_text()


def test_the_first_line_names_the_device_the_precision_and_the_threads(data, tmp_path, capsys):
    train(tiny(data, optim__steps=1), tmp_path / "run")
    first = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("smoke: "))
    assert first.startswith("smoke: cpu, 1 thread, fp32")
    facts = json.loads((tmp_path / "run/run.json").read_text())
    assert first == f"smoke: {facts['device']}" and abs(time.time() - facts["started"]) < 600


def test_an_evaluation_goes_to_tensorboard_beside_the_training(data, tmp_path, capsys):
    run = train(tiny(data), tmp_path / "run")
    assert cli.run(["evaluate", str(run), str(data)]) == 0
    numbers = json.loads((run / "evaluation.json").read_text())
    scalars = read_events(run)
    for direction in ("AtoB", "BtoA"):
        (event,) = scalars.Scalars(f"evaluation/cycle_error/{direction}")
        assert event.step == 6 and event.value == pytest.approx(numbers[direction]["cycle_error"], rel=1e-4)
    assert [event.step for event in scalars.Scalars("gan/G")] == [2, 4, 6]
