"""Whole runs of the smoke preset, cut to six steps: what they leave behind, how they stop and how they go on."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.data_sets import make_data, shapes, tiny
from unpaired.checkpoints.bundle import BUNDLE, load_bundle
from unpaired.checkpoints.run_state import load_state, save_state
from unpaired.core.errors import BadInput, Stopped
from unpaired.experiment import build_method, read_experiment, with_root, with_settings
from unpaired.inference import Translator
from unpaired.methods import Batch
from unpaired.presets import smoke
from unpaired.training import run_folder as folder
from unpaired.training import train
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("run") / "data")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run of six steps."""
    return train(tiny(data), tmp_path_factory.mktemp("whole") / "run")


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_tensors(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def assert_same_end(run, other):
    """The bundle and the last checkpoint, bit by bit."""
    assert_same_tensors(load_file(run / BUNDLE), load_file(other / BUNDLE))
    (state, notes), (expected, _) = load_state(run), load_state(other)
    assert notes == [] and state.step == expected.step
    assert_same_tensors(state.tensors, expected.tensors)


def stop_at(monkeypatch, step):
    """Sends this process SIGTERM while it computes its `step`-th training step from now."""
    plain, calls = Trainer.train_step, []

    def train_step(self, *batch):
        calls.append(1)
        if len(calls) == step:
            signal.raise_signal(signal.SIGTERM)
        return plain(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", train_step)


def train_in_pieces(experiment, run, pieces, monkeypatch):
    """Train, stopped after each of `pieces` steps and taken up again."""
    for steps in pieces:
        with monkeypatch.context() as patch:
            stop_at(patch, steps)
            with pytest.raises(Stopped, match="the same command resumes"):
                train(experiment, run)
    return train(experiment, run)


def test_a_run_leaves_its_settings_bundle_checkpoints_metrics_samples_and_events(whole, data):
    assert sorted(path.name for path in whole.iterdir()) == sorted(
        ["config.yaml", BUNDLE, "checkpoints", "metrics.jsonl", "run.json", "samples", "skipped.json", "tensorboard"]
    )
    assert read_experiment(whole / "config.yaml") == tiny(data)
    bundle = load_bundle(whole)
    assert bundle.step == 6 and bundle.experiment == tiny(data)
    kept = ["latest", "step-00000004", "step-00000006"]
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == kept
    assert len(list((whole / "tensorboard").iterdir())) == 1


def test_the_networks_have_learned_something(whole, data):
    torch.manual_seed(0)
    fresh = build_method(tiny(data)).translators["AtoB"].state_dict()
    trained = load_bundle(whole).translators["AtoB"].state_dict()
    moved = max(float((trained[key] - fresh[key]).abs().max()) for key in fresh)
    assert 1e-4 < moved < 6 * 2e-4 * 1.01  # Adam moves a weight by at most about lr a step


def test_metrics_are_one_json_object_a_line_with_every_term(whole):
    assert [line["step"] for line in lines(whole)] == [2, 4, 6]
    assert [line["epoch"] for line in lines(whole)] == [0, 0, 0]
    names = {"gan/G", "gan/F", "cycle/G", "cycle/F", "identity/G", "identity/F", "discriminator/X", "discriminator/Y"}
    for line in lines(whole):
        assert set(line["losses"]) == names
        assert all(math.isfinite(value) and value > 0 for value in line["losses"].values())
        assert line["images_per_second"] > 0
    rates = [line["lr"] for line in lines(whole)]  # constant for 3 of 6 steps, then falling by quarters
    assert rates == pytest.approx([2e-4, 1.5e-4, 0.5e-4])


def test_both_optimisers_run_at_the_rate_that_is_logged(data, tmp_path, monkeypatch):
    plain, rates = Trainer.train_step, []

    def train_step(self, *batch):
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in self._optimizers().values()])
        return plain(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    run = train(tiny(data, runtime__log_every=1, optim__discriminator_lr=1e-3), tmp_path / "run")
    falling = [1, 1, 1, 0.75, 0.5, 0.25]
    assert [rate for rate, _ in rates] == pytest.approx([2e-4 * factor for factor in falling])
    assert [rate for _, rate in rates] == pytest.approx([1e-3 * factor for factor in falling])
    assert [line["lr"] for line in lines(run)] == [rate for rate, _ in rates]


def test_a_line_holds_the_mean_since_the_line_before(whole, data, tmp_path):
    each = {line["step"]: line["losses"] for line in lines(train(tiny(data, runtime__log_every=1), tmp_path / "run"))}
    for line in lines(whole):
        for name, value in line["losses"].items():
            mean = (each[line["step"] - 1][name] + each[line["step"]][name]) / 2
            assert value == pytest.approx(mean, abs=2e-6)


def test_samples_show_the_test_images_their_translations_and_the_way_back(whole, data):
    names = [f"step-{step:06d}_{direction}.png" for step in (0, 3, 6) for direction in ("AtoB", "BtoA")]
    assert sorted(path.name for path in (whole / "samples").iterdir()) == names
    grid = np.asarray(Image.open(whole / "samples/step-000006_AtoB.png"))
    assert grid.shape == (2 * 32 + 2, 3 * 32 + 4, 3)
    decoded = Image.open(data / "testA/00.png").resize((36, 36), Image.Resampling.BICUBIC).crop((2, 2, 34, 34))
    np.testing.assert_array_equal(grid[:32, :32], np.asarray(decoded))
    there = Translator.load(whole, "AtoB")
    translated = np.asarray(there(decoded))
    np.testing.assert_allclose(grid[:32, 34:66].astype(int), translated, atol=1)
    assert (grid[32:34] == 255).all() and (grid[:, 32:34] == 255).all()


def read_events(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return events


def test_tensorboard_reads_scalars_and_images(whole):
    events = read_events(whole)
    for line in lines(whole):
        for name, value in line["losses"].items():
            assert {e.step: e.value for e in events.Scalars(name)}[line["step"]] == pytest.approx(value, rel=1e-6)
    assert set(events.Tags()["scalars"]) == {*lines(whole)[0]["losses"], "lr", "images_per_second"}
    for direction in ("AtoB", "BtoA"):
        images = events.Images(direction)
        assert [image.step for image in images] == [0, 3, 6]
        assert (images[0].width, images[0].height) == (100, 66)


def test_tensorboard_shows_every_step_once_after_a_resumed_run(data, tmp_path, monkeypatch):
    """Killed after step 5, with a checkpoint at 4: step 4 stays, step 5 is written anew."""
    experiment, run = tiny(data, runtime__log_every=1), tmp_path / "run"
    kill_in_step(6, monkeypatch, experiment, run)
    train(experiment, run)
    assert [event.step for event in read_events(run).Scalars("gan/G")] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5, 6]


class Killed(BaseException):
    """Stands for a power cut: nothing is saved on its way."""


def kill_in_step(step, monkeypatch, experiment, run):
    plain, calls = Trainer.train_step, []

    def train_step(self, *batch):
        calls.append(1)
        if len(calls) == step:
            raise Killed
        return plain(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "train_step", train_step)
        train(experiment, run)


@pytest.mark.promise("exact resume")
@pytest.mark.parametrize("pieces", [(1,), (3,), (5,), (1, 1, 2)])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(whole, data, tmp_path, monkeypatch, pieces):
    run = train_in_pieces(tiny(data), tmp_path / "run", pieces, monkeypatch)
    assert_same_end(run, whole)
    steps = [line["step"] for line in lines(run)]
    assert steps == sorted(set(steps)) and steps[-1] == 6


@pytest.mark.promise("exact resume")
@pytest.mark.parametrize(
    "settings",
    [
        {"data__workers": 2},
        {"data__batch": 4, "optim__steps": 9},  # over epochs of two steps, whose second batch is smaller
        {"runtime__precision": "bf16"},
        {"method__history": 1, "method__generator__norm": "batch", "method__generator__dropout": True},
        {"optim__steps": None, "optim__epochs": 1, "optim__decay_epochs": 1, "data__batch": 2},
        {"optim__ema_decay": 0.9},
        {"data__load_size": "72x36", "data__crop_size": "64x32", "data__batch": 2},
    ],
    ids=["workers", "batches", "bf16", "dropout", "epochs", "average", "wide"],
)
def test_every_kind_of_run_resumes_exactly(data, tmp_path, monkeypatch, settings):
    expected = train(tiny(data, **settings), tmp_path / "whole")
    run = train_in_pieces(tiny(data, **settings), tmp_path / "pieces", (3,), monkeypatch)
    assert_same_end(run, expected)


@pytest.mark.promise("exact resume")
def test_a_killed_run_goes_on_from_its_last_checkpoint_and_equals_an_uninterrupted_one(
    whole, data, tmp_path, monkeypatch
):
    kill_in_step(4, monkeypatch, tiny(data), tmp_path / "run")
    assert load_state(tmp_path / "run")[0].step == 2
    assert_same_end(train(tiny(data), tmp_path / "run"), whole)
    assert [line["step"] for line in lines(tmp_path / "run")] == [2, 4, 6]


@pytest.mark.promise("safe checkpoints")
def test_a_damaged_checkpoint_is_said_and_the_run_ends_as_if_it_had_not_been(
    whole, data, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    kill_in_step(6, monkeypatch, tiny(data), run)
    path = run / "checkpoints/step-00000004/state.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    train(tiny(data), run)
    said = capsys.readouterr().err
    assert "step-00000004: damaged" in said and "resumes after step 2" in said
    assert_same_end(run, whole)
    assert [line["step"] for line in lines(run)] == [2, 4, 6]


@pytest.mark.promise("exact resume")
def test_a_half_written_line_of_metrics_is_dropped(whole, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    kill_in_step(5, monkeypatch, tiny(data), run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "ter')
    train(tiny(data), run)
    assert [line["step"] for line in lines(run)] == [2, 4, 6]


COMMAND = ["--runtime.precision", "fp32", "--runtime.threads", "1", "--runtime.log-every", "1"]
COMMAND += ["--runtime.sample-every", "1000", "--runtime.save-every", "1000"]


@pytest.mark.promise("stop on request")
@pytest.mark.parametrize("workers", [0, 2])
def test_the_command_stopped_by_a_signal_exits_with_75_and_the_same_command_finishes_the_run(data, tmp_path, workers):
    pytest.importorskip("unpaired.evaluation.report")
    steps, run = 40, tmp_path / "run"
    command = [sys.executable, "-m", "unpaired", "train", "smoke", "--data", str(data), "--out", str(run)]
    command += ["--steps", str(steps), "--data.workers", str(workers), *COMMAND]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("unpaired:")]
    assert line.startswith("unpaired: stopped after step ") and line.endswith(f"of {steps}; the same command resumes")
    stopped = load_state(run)[0].step
    assert 1 <= stopped < steps and f"step {stopped} " in line
    command[1:1] = ["-X", "importtime"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "torch.nn" in again.stderr and "torch._dynamo" not in again.stderr  # takes seconds, and nothing is compiled
    assert f"resumes after step {stopped}" in again.stderr
    settings = {"optim.steps": steps, "data.workers": 0, "runtime.precision": "fp32", "runtime.log_every": 1}
    experiment = with_settings(with_root(smoke(), data), settings)
    assert_same_end(run, train(experiment, tmp_path / "whole"))
    assert [line["step"] for line in lines(run)] == list(range(1, steps + 1))


@pytest.mark.promise("stop on request")
def test_a_second_signal_ends_the_process_at_once(data, tmp_path, monkeypatch):
    def train_step(self, *batch):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    with pytest.raises(SystemExit) as caught:
        train(tiny(data), tmp_path / "run")
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.promise("stop on request")
def test_a_signal_in_the_last_step_finds_the_run_finished(whole, data, tmp_path, monkeypatch):
    stop_at(monkeypatch, 6)
    assert_same_end(train(tiny(data), tmp_path / "run"), whole)


def test_a_finished_run_says_so_and_does_nothing(whole, data, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    train(tiny(data), whole)
    assert f"{whole}: finished, 6 of 6 steps done" in capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert before.keys() == after.keys() and changed <= {"config.yaml"}


@pytest.mark.promise("exact resume")
@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("optim__lr", 1e-4, "optim.lr was 0.0002 and is now 0.0001"),
        ("optim__steps", 8, "optim.steps was 6 and is now 8"),
        ("data__flip", False, "data.flip was True and is now False"),
        ("method__generator__width", 8, "method.generator.width was 4 and is now 8"),
        ("runtime__seed", 1, "runtime.seed was 0 and is now 1"),
        ("runtime__precision", "bf16", "runtime.precision was fp32 and is now bf16"),
    ],
)
def test_a_changed_setting_that_touches_the_numbers_is_refused_by_name(whole, data, setting, value, words):
    before = (whole / "config.yaml").read_bytes()
    with pytest.raises(BadInput, match=words) as caught:
        train(tiny(data, **{setting: value}), whole)
    assert "\n" not in str(caught.value) and str(caught.value).count(" was ") == 1
    assert (whole / "config.yaml").read_bytes() == before


@pytest.mark.promise("exact resume")
def test_what_does_not_touch_the_numbers_may_change_between_stop_and_go(whole, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_at(patch, 3)
        train(tiny(data), run)
    elsewhere = tmp_path / "moved"
    elsewhere.symlink_to(data)
    freer = {"workers": 3, "cache_gb": 0.0}
    changed = tiny(elsewhere, **{f"data__{key}": value for key, value in freer.items()}, runtime__sample_every=1)
    train(with_settings(changed, {"runtime.save_every": 5, "runtime.log_every": 3}), run)
    assert_same_tensors(load_file(run / BUNDLE), load_file(whole / BUNDLE))
    assert read_experiment(run / "config.yaml").data.workers == 3


@pytest.mark.promise("exact resume")
def test_a_checkpoint_tells_where_it_is_and_what_made_it(whole, data):
    facts, numbers = load_state(whole)[0].facts, folder.settings(tiny(data))
    assert (facts["step"], facts["epoch"], facts["position"], facts["processes"]) == (6, 1, 0, 1)
    assert facts["versions"] == folder.versions() and set(facts["versions"]) >= {"unpaired", "python", "torch", "numpy"}
    assert facts["settings"] == numbers and numbers["optim.lr"] == 2e-4
    assert facts["settings_sha256"] == hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


@pytest.mark.promise("exact resume")
def test_other_versions_are_said_in_one_line_and_the_run_goes_on(data, tmp_path, monkeypatch, capsys):
    kill_in_step(4, monkeypatch, tiny(data), tmp_path / "run")
    now = folder.versions()
    monkeypatch.setattr(folder, "versions", lambda: now | {"torch": "9.9"})
    train(tiny(data), tmp_path / "run")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "bits" in line]
    assert line.endswith(f"torch was {now['torch']} and is now 9.9; from here on the last bits may differ")


@pytest.mark.promise("determinism")
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_how_often_samples_are_drawn_does_not_touch_the_numbers(data, tmp_path, norm):
    """Neither batch statistics nor dropout's dice may notice."""
    settings = {"method__generator__norm": norm, "method__generator__dropout": True}
    often = train(tiny(data, **settings, runtime__sample_every=1), tmp_path / "often")
    seldom = train(tiny(data, **settings, runtime__sample_every=100, runtime__samples=1), tmp_path / "seldom")
    assert_same_tensors(load_state(often)[0].tensors, load_state(seldom)[0].tensors)


def test_a_run_that_never_took_a_step_may_start_over_with_other_settings(data, tmp_path):
    """Its message told the user to change a setting: the same --out must then serve."""
    mixed = make_data(tmp_path / "mixed")
    shapes("A", 9).resize((48, 52)).save(mixed / "trainA/large.png")
    wrong = {"data__preprocess": "none", "data__batch": 7}
    with pytest.raises(BadInput, match=r"large\.png 48x52.*set data.batch 1"):
        train(tiny(mixed, **wrong), tmp_path / "run")
    train(tiny(mixed, data__preprocess="none", optim__steps=1), tmp_path / "run")


@pytest.mark.promise("finite numbers")
@pytest.mark.parametrize("settings", [{}, {"runtime__log_every": 100}], ids=["at a line", "at a checkpoint"])
def test_a_loss_that_is_not_finite_stops_the_run_names_the_term_and_saves_nothing(data, tmp_path, settings):
    with pytest.raises(BadInput, match=r"step 2: .*gan/G.* not finite") as caught:
        train(tiny(data, optim__lr=1e25, **settings), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run/checkpoints").exists() and not (tmp_path / "run" / BUNDLE).exists()


@pytest.mark.promise("finite numbers")
def test_a_loss_that_is_not_finite_is_not_saved_when_a_signal_comes_first(data, tmp_path, monkeypatch):
    stop_at(monkeypatch, 2)
    with pytest.raises(BadInput, match=r"step 2: .* not finite"):
        train(tiny(data, optim__lr=1e25, runtime__log_every=100, runtime__save_every=100), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"method__identity_weight": 0, "data__channels_a": 1},
        {"data__batch": 2},
        {
            "method__generator__name": "unet",
            "method__generator__downs": 5,
            "method__generator__width": 2,
        },
        {"method__generator__upsampling": "resize", "method__generator__padding": "zero"},
        {"method__discriminator__name": "pixelgan", "method__discriminator__width": 4},
        {"method__adversarial": "hinge"},
        {"method__adversarial": "log-likelihood"},
        {"method__history": 0},
        {"data__preprocess": "none"},
        {"data__preprocess": "scale_width", "data__load_size": 40, "data__crop_size": 16},
        {"runtime__precision": "bf16"},
    ],
    ids=lambda settings: " ".join(f"{key.rpartition('__')[2]}={value}" for key, value in settings.items()),
)
def test_other_kinds_of_experiment_train_and_translate(data, tmp_path, settings):
    run = train(tiny(data, **settings, optim__steps=2), tmp_path / "run")
    assert [line["step"] for line in lines(run)] == [2]
    for direction, test in (("AtoB", "testA"), ("BtoA", "testB")):
        out = Translator.load(run, direction)(data / test / "00.png")
        assert out.size == (40, 36)
        assert out.mode == ("L" if direction == "BtoA" and "data__channels_a" in settings else "RGB")


def test_fp32_and_bf16_are_close_but_not_the_same(whole, data, tmp_path):
    rough = lines(train(tiny(data, runtime__precision="bf16"), tmp_path / "run"))
    for line, other in zip(lines(whole), rough, strict=True):
        for name, value in line["losses"].items():
            assert other["losses"][name] == pytest.approx(value, rel=0.05), name
    assert lines(whole)[0]["losses"] != rough[0]["losses"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method__identity_weight": 5, "data__channels_a": 1}, "--method.identity-weight 0"),
        ({"data__crop_size": 30}, "divide by 4.*30x30"),
        ({"data__crop_size": "28x30"}, "divide by 4.*28x30"),
        (
            {"data__load_size": 64, "data__crop_size": "64x16", "method__discriminator__layers": 4},
            "64x16 px do not pass",
        ),
        ({"data__preprocess": "scale_width", "data__load_size": 22, "data__crop_size": 16}, "divide by 4.*22x"),
        ({"method__generator__name": "unet"}, "divide by 256.*32x32"),
        ({"data__load_size": 8, "data__crop_size": 4}, "4x4"),
        ({"data__crop_size": 16, "method__discriminator__layers": 4}, "16x16"),
        ({"data__preprocess": "crop", "data__crop_size": 37}, "crop_size = 37"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_go_together_are_refused_before_anything_is_written(data, tmp_path, settings, words):
    with pytest.raises(BadInput, match=words) as caught:
        train(tiny(data, **settings), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_image_whose_size_the_network_cannot_take_is_named_when_its_turn_comes(data, tmp_path):
    mixed = make_data(tmp_path / "mixed", a=1)
    shapes("A", 9).resize((40, 30)).save(mixed / "trainA/low.png")
    with pytest.raises(BadInput, match=r"low\.png: .*divide by 4.*found 40x30"):
        train(tiny(mixed, data__preprocess="scale_width", data__load_size=40, data__crop_size=8), tmp_path / "run")


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="new or empty folder or a run"):
        train(tiny(data), tmp_path)
    with pytest.raises(BadInput, match="new or empty folder or a run"):
        train(tiny(data), tmp_path / "notes.txt")
    with pytest.raises(BadInput, match="cannot be written"):
        train(tiny(data), tmp_path / "notes.txt" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_without_test_folders_the_samples_are_training_images(tmp_path):
    root = make_data(tmp_path / "data", test=0)
    (root / "testA").rmdir(), (root / "testB").rmdir()
    run = train(tiny(root, optim__steps=1), tmp_path / "run")
    assert (run / "samples/step-000001_BtoA.png").exists()


@pytest.mark.promise("determinism")
def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(whole, data, tmp_path):
    assert_same_end(train(tiny(data), tmp_path / "same"), whole)
    other = train(tiny(data, runtime__seed=1), tmp_path / "other")
    one, two = load_file(whole / BUNDLE), load_file(other / BUNDLE)
    assert not torch.equal(one["AtoB.model.1.weight"], two["AtoB.model.1.weight"])


def fresh_trainer(experiment, seed):
    torch.manual_seed(seed)
    return Trainer(build_method(experiment), experiment.optim, Engine(experiment.runtime))


def go_on(trainer, steps):
    random = torch.Generator().manual_seed(5)
    for _ in range(steps):
        x, y = torch.rand(2, 1, 3, 16, 16, generator=random) * 2 - 1
        trainer.train_step(Batch(x, y))
    return {key: value.clone() for key, value in trainer.state().items()}


KINDS = {
    "a generator's weight": "network/G/model.1.weight",
    "a discriminator's weight": "network/D_X/model.0.weight",
    "the generators' first moment": "optimizer/generators/0000/exp_avg",
    "the discriminators' second moment": "optimizer/discriminators/0000/exp_avg_sq",
    "Adam's step": "optimizer/generators/0000/step",
    "an averaged weight": "network/ema F/model.1.weight",
    "the steps done": "steps",
    "a past translation": "planned/past_y/image/0000",
    "the history's dice": "planned/past_x/random",
    "dropout's dice": "random/torch",
}


def perturbed(key, value):
    if key.endswith("random") or key == "random/torch":
        return torch.Generator().manual_seed(77).get_state()
    return value * 2 + 1 if key == "steps" else value * 1.5 + 0.1


@pytest.mark.promise("exact resume")
def test_the_state_covers_everything_that_decides_the_next_steps(data):
    """Every kind of tensor in it matters; nothing outside it does."""
    experiment = tiny(data, method__generator__dropout=True, method__history=1, optim__ema_decay=0.9)
    trainer = fresh_trainer(experiment, seed=0)
    state = go_on(trainer, 4)
    expected = go_on(trainer, 8)  # enough that both histories are asked
    other = fresh_trainer(experiment, seed=1)
    go_on(other, 1)  # its own moments and histories must all give way
    other.load({key: value.clone() for key, value in state.items()})
    assert_same_tensors(go_on(other, 8), expected)
    for kind, key in KINDS.items():
        changed = state | {key: perturbed(key, state[key])}
        other.load({name: value.clone() for name, value in changed.items()})
        end = go_on(other, 8)
        differs = {name for name in expected if not torch.equal(end[name], expected[name])}
        others = differs if "/ema " in key else differs - {key}  # an average is read by nobody but the bundle
        assert any(name.startswith("network/") for name in others), kind


@pytest.mark.promise("determinism")
def test_the_global_dice_of_the_caller_do_not_decide_a_run(whole, data, tmp_path):
    torch.manual_seed(123)
    torch.rand(7)
    assert_same_end(train(tiny(data), tmp_path / "run"), whole)


@pytest.mark.promise("safe checkpoints")
def test_a_disk_that_runs_full_stops_the_run_and_what_was_saved_goes_on(whole, data, tmp_path, monkeypatch):
    """The second checkpoint does not fit; with room again the same command ends as if nothing had been."""
    run = tmp_path / "run"

    def save(out, step, *rest):
        if step == 4:
            raise OSError(28, "No space left on device", str(out))
        return save_state(out, step, *rest)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("unpaired.training.run_folder.save_state", save)
        train(tiny(data), run)
    assert load_state(run)[0].step == 2
    assert_same_end(train(tiny(data), run), whole)


def test_the_library_trains_on_any_folder_and_returns_the_run(data, tmp_path):
    import unpaired

    experiment = replace(tiny(data, optim__steps=1), name="mine")
    run = unpaired.train(experiment, data=str(data), out=str(tmp_path / "run"))
    assert run == tmp_path / "run"
    assert unpaired.Translator.load(run).bundle.experiment.name == "mine"
