"""A signal at any moment: what can be saved is saved, nothing is half-written, the exit code is 75."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import pytest
import torch

from tests.data_sets import make_data, make_model, tiny
from tests.faults.child import below, in_child
from unpaired import cli
from unpaired.checkpoints.run_state import load_state
from unpaired.core.errors import RESUMABLE, Stopped
from unpaired.core.signals import stop_on_request
from unpaired.core.torch_pickle import read_pickle, write_pickle
from unpaired.training import train

pytestmark = pytest.mark.promise("stop on request")
OTHERS = {
    "evaluate": lambda root, out: ["evaluate", root / "model", root / "data", "--out", out / "report.json"],
    "translate": lambda root, out: ["translate", root / "model", root / "data/trainA", out / "images"],
    "export": lambda root, out: ["export", root / "model", out / "model.onnx", "--format", "onnx"],
    "convert": lambda root, out: ["convert", root / "model", out / "official"],
    "prepare folders": lambda root, out: [
        *("prepare", "folders", out / "set", "--a", root / "data/trainA", "--b", root / "data/trainB")
    ],
    "check": lambda root, out: ["check", root / "data"],
    "metrics": lambda root, out: [
        *("metrics", root / "data/testA", root / "data/testB", "--out", out / "metrics.json")
    ],
}
"""Commands that work for a while, beside training: from a folder with data and model, into a folder."""


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
@pytest.mark.parametrize("place", ["unpaired.data.selection.examine", "unpaired.training.sizes.check_sides"])
def test_before_the_first_step_it_stops_at_once_and_leaves_nothing(data, tmp_path, monkeypatch, place, number):
    signal_in(monkeypatch, place, number)
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="before the first step"):
        train(tiny(data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(number) == before


def test_during_the_colour_start_it_stops_at_once_and_the_same_command_starts_again(data, tmp_path, monkeypatch):
    experiment = tiny(data, optim__colour_start=4)
    whole = load_state(train(experiment, tmp_path / "whole"))[0]
    with monkeypatch.context() as patch, pytest.raises(Stopped, match="before the first step"):
        signal_in(patch, "unpaired.training.colour_start.colour_map")
        train(experiment, tmp_path / "run")
    again = load_state(train(experiment, tmp_path / "run"))[0]
    assert all(torch.equal(again.tensors[name], value) for name, value in whole.tensors.items())


def test_while_sampling_it_saves_and_stops_after_the_same_step(data, tmp_path, monkeypatch):
    """Samples are drawn at 0, 3 and 6; checkpoints every 2."""
    signal_in(monkeypatch, "unpaired.training.samples.image_grid", at=3)
    with pytest.raises(Stopped, match="stopped after step 3 of 6"):
        train(tiny(data), tmp_path / "run")
    assert load_state(tmp_path / "run")[0].step == 3


def test_while_saving_it_finishes_the_save_and_takes_no_further_step(data, tmp_path, monkeypatch):
    signal_in(monkeypatch, "unpaired.training.run_folder.save_state")
    with pytest.raises(Stopped, match="stopped after step 2 of 6"):
        train(tiny(data), tmp_path / "run")
    assert load_state(tmp_path / "run")[0].step == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_evaluate_exits_with_75_and_leaves_no_half_report(data, tmp_path, monkeypatch, capsys, number):
    model = make_model(tmp_path / "run")
    signal_in(monkeypatch, "unpaired.evaluation.score_direction", number)
    assert cli.run(["evaluate", str(model.parent), str(data), "--out", str(tmp_path / "report.json")]) == RESUMABLE
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1] == "unpaired: stopped; the same command starts again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("others")
    make_data(root / "data", a=12, b=12, test=12)
    make_model(root / "model")
    return root


def signalled(argv, after):
    """The command in a child that sends itself SIGTERM so many seconds after it has begun to listen."""

    def work():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # so one that comes too late does nothing

        def send():
            while signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
                time.sleep(0.001)
            time.sleep(after)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=send, daemon=True).start()
        return cli.run([str(word) for word in argv])

    return in_child(work)


def stop_storm(place, folder, name, times):
    """Stop a command at random moments; returns how often that was in time, and the slowest exit in seconds."""
    began = time.monotonic()
    assert signalled(OTHERS[name](place, folder / "whole"), after=3600).code == 0
    length, whole, rng = time.monotonic() - began, below(folder / "whole"), random.Random(name)
    stopped, slowest = 0, 0.0
    for k in range(times):
        after, began = rng.uniform(0, length), time.monotonic()
        outcome = signalled(OTHERS[name](place, folder / str(k)), after)
        there = below(folder / str(k)) if (folder / str(k)).exists() else {}
        assert outcome.code in (0, RESUMABLE) and "Traceback" not in outcome.said, outcome.said
        odd = [path for path, content in there.items() if whole.get(path) != content]
        assert odd == [], f"half-written after {after:.2f} s"
        assert outcome.code == RESUMABLE or there == whole
        if outcome.code == RESUMABLE:
            stopped, slowest = stopped + 1, max(slowest, time.monotonic() - began - after)
    return stopped, slowest


@pytest.mark.parametrize("name", ["evaluate", "translate"])
def test_a_command_stopped_twice_at_random_leaves_nothing_half_written(place, tmp_path, name):
    stop_storm(place, tmp_path, name, 2)


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", OTHERS)
def test_a_command_stopped_at_any_moment_exits_with_75_and_leaves_nothing_half_written(place, tmp_path, promise, name):
    stopped, slowest = stop_storm(place, tmp_path, name, 20)
    assert stopped >= 1
    promise(
        f"{name}: {stopped} of 20 signals in time, each exit code 75, slowest {slowest:.1f} s, nothing half-written"
    )


def test_a_signal_is_not_taken_for_an_error_of_a_library_that_is_at_work(tmp_path, monkeypatch):
    """Hostile weights raise anything, so whatever torch raises is said to be their fault: a signal is not."""
    write_pickle(tmp_path / "weights.pth", {"w": torch.ones(1)})
    signal_in(monkeypatch, "torch.load")
    with pytest.raises(Stopped), stop_on_request():
        read_pickle(tmp_path / "weights.pth")


def test_demo_exits_with_75_wherever_it_is(tmp_path, monkeypatch, capsys):
    signal_in(monkeypatch, "unpaired.data.prepare.earth.prepare_earth")
    assert cli.run(["demo", str(tmp_path / "earth"), "--steps", "1"]) == RESUMABLE
    assert "the same command" in capsys.readouterr().err
    assert not (tmp_path / "earth/data").exists()


def test_signals_within_the_launchers_patience_are_one_request(monkeypatch):
    with stop_on_request() as request:
        request.later()
        request.patience = 60
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert request.asked
        request.patience = 0
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
