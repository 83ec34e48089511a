"""A signal at any moment: what can be saved is saved, nothing is half-written, the exit code is 75."""

from __future__ import annotations

import signal

import pytest

from tests.data_sets import make_data, make_model, tiny
from unpaired import cli
from unpaired.errors import RESUMABLE, Stopped
from unpaired.state import load_state
from unpaired.training import train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("stop") / "data")


def signal_in(monkeypatch, target, number=signal.SIGTERM, at=1):
    """Sends this process a signal on entering the `at`-th call of a function."""
    name = target.rpartition(".")[2]
    module, plain = pytest.importorskip(target.rpartition(".")[0]), []
    plain, calls = getattr(module, name), []

    def function(*args, **kwargs):
        calls.append(1)
        if len(calls) == at:
            signal.raise_signal(number)
        return plain(*args, **kwargs)

    monkeypatch.setattr(module, name, function)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["unpaired.data.usable.examine", "unpaired.training.run.try_out"])
def test_before_the_first_step_it_stops_at_once_and_leaves_nothing(data, tmp_path, monkeypatch, place, number):
    signal_in(monkeypatch, place, number)
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="before the first step"):
        train(tiny(data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(number) == before


def test_while_sampling_it_saves_and_stops_after_the_same_step(data, tmp_path, monkeypatch):
    """Samples are drawn at 0, 3 and 6; checkpoints every 2."""
    signal_in(monkeypatch, "unpaired.training.samples.picture_grid", at=3)
    with pytest.raises(Stopped, match="stopped after step 3 of 6"):
        train(tiny(data), tmp_path / "run")
    assert load_state(tmp_path / "run")[0].step == 3


def test_while_saving_it_finishes_the_save_and_takes_no_further_step(data, tmp_path, monkeypatch):
    signal_in(monkeypatch, "unpaired.training.folder.save_state")
    with pytest.raises(Stopped, match="stopped after step 2 of 6"):
        train(tiny(data), tmp_path / "run")
    assert load_state(tmp_path / "run")[0].step == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_evaluate_exits_with_75_and_leaves_no_half_report(data, tmp_path, monkeypatch, capsys, number):
    model = make_model(tmp_path / "run")
    signal_in(monkeypatch, "unpaired.evaluate.judge_direction", number)
    assert cli.run(["evaluate", str(model.parent), str(data), "--out", str(tmp_path / "report.json")]) == RESUMABLE
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1] == "unpaired: stopped; the same command starts again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_demo_exits_with_75_wherever_it_is(tmp_path, monkeypatch, capsys):
    signal_in(monkeypatch, "unpaired.demo.prepare_earth")
    assert cli.run(["demo", str(tmp_path / "earth"), "--steps", "1"]) == RESUMABLE
    assert "the same command" in capsys.readouterr().err
    assert not (tmp_path / "earth/data").exists()


def test_signals_within_the_launchers_patience_are_one_request(monkeypatch):
    from unpaired.stopping import stop_on_request

    with stop_on_request() as request:
        request.later()
        request.patience = 60
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert request.asked
        request.patience = 0
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
