"""Trackers beside a run: the real ones where they need no server, and servers that refuse, hang or never answer."""

import json
import socket
import threading
import time

import pytest

from tests.data_sets import make_data, tiny
from tests.training.test_run import assert_same_end
from tests.training.test_validation import small_extractor
from unpaired.core.errors import BadInput
from unpaired.training import trackers, train, validation
from unpaired.training.logging import log_evaluation


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("trackers") / "data")


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    return train(tiny(data), tmp_path_factory.mktemp("plain") / "run")


@pytest.fixture
def hanging():
    """The address of a server that takes every connection and answers none."""
    server = socket.create_server(("127.0.0.1", 0))
    taken, open_ = [], threading.Event()

    def accept():
        while True:
            try:
                taken.append(server.accept()[0])
            except OSError:
                return
            open_.set()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", open_
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(timeout=5)
    for connection in taken:
        connection.close()


def patient(monkeypatch, seconds):
    monkeypatch.setattr(trackers, "PATIENCE", seconds)


def test_weights_and_biases_without_a_server_gets_every_number_and_image(data, plain, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    patient(monkeypatch, 120.0)
    run = train(tiny(data, runtime__trackers="wandb", runtime__project="shapes"), tmp_path / "run")
    assert_same_end(run, plain)
    assert "continues without" not in capsys.readouterr().err
    [log] = (run / "wandb").glob("offline-run-*/run-*.wandb")
    content = log.read_bytes()
    name = json.loads((run / "tracking.json").read_text())["id"]
    for words in ("shapes", name, "cycle/G", "discriminator/Y", "images_per_second", "samples/AtoB"):
        assert words.encode() in content, words


def test_weights_and_biases_gets_validation_and_evaluation(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(validation, "load_extractor", small_extractor)
    patient(monkeypatch, 120.0)
    data = make_data(tmp_path / "data", test=10)
    run = train(tiny(data, runtime__trackers="wandb", runtime__validate_every=3), tmp_path / "run")
    log_evaluation(run, {"AtoB": {"cycle_error": 12.5}, "BtoA": {"cycle_error": 10.0}})
    content = b"".join(log.read_bytes() for log in (run / "wandb").glob("offline-run-*/run-*.wandb"))
    for words in ("test/kid/efficientnet-lite0/AtoB", "evaluation/cycle_error/AtoB", "evaluation/cycle_error/BtoA"):
        assert words.encode() in content, words


def test_a_tracker_that_refuses_costs_one_warning(data, plain, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    patient(monkeypatch, 120.0)
    run = train(tiny(data, runtime__trackers="mlflow"), tmp_path / "run")
    assert_same_end(run, plain)
    said = [line for line in capsys.readouterr().err.splitlines() if "mlflow" in line]
    assert said == [f"mlflow has stopped; the run continues without it ({run / 'trackers.log'})"]
    assert "127.0.0.1" in (run / "trackers.log").read_text()


def test_a_tracker_that_hangs_is_ended_and_costs_one_warning(data, plain, tmp_path, monkeypatch, capsys, hanging):
    address, connected = hanging
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(trackers, "WAITING", 2)
    all_of_it = trackers.Trackers("mlflow", tmp_path, "shapes", {})
    assert connected.wait(timeout=120)  # it has asked, and will wait for ever
    started = time.monotonic()
    for step in range(100_000):
        all_of_it.log(step, {"loss": 1.0})
    assert time.monotonic() - started < 10  # no line waits for it
    patient(monkeypatch, 1.0)
    all_of_it.close()
    assert time.monotonic() - started < 15
    assert all_of_it.all[0].process.poll() is not None
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"mlflow does not keep up; some of its lines are dropped; the run continues without it "
        f"({tmp_path / 'trackers.log'})"
    ]


def test_a_run_beside_a_hanging_tracker_ends_as_without_it(data, plain, tmp_path, monkeypatch, capsys, hanging):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", hanging[0])
    patient(monkeypatch, 1.0)
    run = train(tiny(data, runtime__trackers="mlflow"), tmp_path / "run")
    assert_same_end(run, plain)
    assert "mlflow did not finish in time and was ended" in capsys.readouterr().err


def test_mlflow_gets_every_number_once_and_a_resumed_run_is_the_same_run(data, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    patient(monkeypatch, 120.0)
    for step in (1, 2):
        both = trackers.Trackers("mlflow", tmp_path, "shapes", {"optim": {"lr": 2e-4}})
        both.log(step, {"cycle/G": float(step)})
        both.close()
    client = mlflow.MlflowClient(f"file:{tmp_path / 'store'}")
    [run] = client.search_runs([client.get_experiment_by_name("shapes").experiment_id])
    history = client.get_metric_history(run.info.run_id, "cycle/G")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 1.0), (2, 2.0)]
    assert run.data.params == {"optim.lr": "0.0002"}


def test_unknown_and_missing_trackers_are_named_before_a_run_is_made(data, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"runtime\.trackers: visdom is none of wandb, trackio, mlflow"):
        train(tiny(data, runtime__trackers="wandb,visdom"), tmp_path / "run")
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"wandb is not installed; pip install 'unpaired\[wandb\]'"):
        train(tiny(data, runtime__trackers="wandb"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_trackers_nothing_is_started_or_left(plain):
    assert not (plain / "tracking.json").exists() and not (plain / "trackers.log").exists()


def test_mlflow_gets_the_losses_the_validation_and_the_evaluation_in_one_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setattr(validation, "load_extractor", small_extractor)
    patient(monkeypatch, 120.0)
    data = make_data(tmp_path / "data", test=10)
    experiment = tiny(data, runtime__trackers="mlflow", runtime__project="shapes", runtime__validate_every=3)
    run = train(experiment, tmp_path / "run")
    log_evaluation(run, {"AtoB": {"cycle_error": 12.5}, "BtoA": {"cycle_error": 10.0}})
    client = mlflow.MlflowClient(f"file:{tmp_path / 'store'}")
    [found] = client.search_runs([client.get_experiment_by_name("shapes").experiment_id])

    def history(name):
        return sorted((metric.step, metric.value) for metric in client.get_metric_history(found.info.run_id, name))

    assert history("evaluation/cycle_error/AtoB") == [(6, 12.5)]
    assert [step for step, _ in history("test/kid/efficientnet-lite0/AtoB")] == [3, 6]
    assert [step for step, _ in history("gan/G")] == [2, 4, 6]
