"""Kept checkpoints as models: they translate, evaluate and describe themselves as the bundle of their step would."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.data_sets import make_data, tiny
from tests.training.test_baselines import experiment as small_experiment
from unpaired import cli
from unpaired.checkpoints.bundle import BUNDLE, bundle_file, load_bundle
from unpaired.checkpoints.run_state import checkpoint_of, save_state
from unpaired.core.errors import BadInput
from unpaired.experiment import with_settings
from unpaired.inference import Translator
from unpaired.inference.runtimes.bundles import torch_runtime
from unpaired.training import train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("numbered") / "data")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Six steps, a checkpoint after each second one, all kept."""
    return train(tiny(data, runtime__keep=10), tmp_path_factory.mktemp("run") / "run")


def steps(run):
    return sorted(int(path.name[5:]) for path in (run / "checkpoints").glob("step-*"))


def bundle_at(run, step):
    return load_bundle(checkpoint_of(run, f"step {step}", step=step))


def weights(bundle):
    return {(name, key): value for name, net in bundle.translators.items() for key, value in net.state_dict().items()}


def same(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def test_the_checkpoint_of_the_last_step_is_the_bundle(run):
    bundle, expected = bundle_at(run, 6), load_bundle(run)
    assert bundle.step == 6 and same(bundle, expected)
    assert bundle.experiment == expected.experiment


def test_an_earlier_checkpoint_is_what_a_shorter_run_ended_with(run, data, tmp_path):
    """The rate is constant for the first half of any of these runs, so four of eight steps equal four of six."""
    bundle = bundle_at(run, 2)
    state = load_file(run / "checkpoints/step-00000002/state.safetensors")
    assert bundle.step == 2 and not same(bundle, load_bundle(run))
    for (direction, key), value in weights(bundle).items():
        assert torch.equal(value, state[f"network/{'G' if direction == 'AtoB' else 'F'}/{key}"])


def test_the_averaged_weights_are_taken_where_there_are_some(data, tmp_path):
    run = train(tiny(data, optim__ema_decay=0.9, optim__steps=2), tmp_path / "run")
    assert same(bundle_at(run, 2), load_bundle(run))


@pytest.mark.parametrize("method", ["cogan", "pix2pix"])
def test_every_kind_of_method_has_its_generators_in_a_checkpoint(tmp_path, method):
    settings = {"optim.steps": 1, "runtime.samples": 1}
    experiment = with_settings(small_experiment(make_data(tmp_path / "data", a=4, b=4), method), settings)
    run = train(experiment, tmp_path / "run")
    assert same(bundle_at(run, 1), load_bundle(run))


def test_a_step_that_is_not_kept_is_refused_with_those_that_are(run):
    with pytest.raises(BadInput, match=r"no checkpoint of step 3 is kept; there is step 2, 4, 6; .*keep-every"):
        bundle_at(run, 3)


def test_a_checkpoint_translates_and_describes_itself_on_the_command_line(run, data, tmp_path, capsys):
    folder = run / "checkpoints/step-00000002"
    assert cli.run(["translate", str(folder), str(data / "testA"), str(tmp_path / "out")]) == 0
    bundle = bundle_at(run, 2)
    there = Translator("AtoB", torch_runtime(bundle, "AtoB"), bundle)
    expected = np.asarray(there(Image.open(data / "testA/00.png")))
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "out/00.png")).astype(int), expected, atol=1)
    capsys.readouterr()
    assert cli.run(["info", str(folder)]) == 0
    assert "after 2 steps" in capsys.readouterr().out
    assert cli.run(["evaluate", str(folder), str(data), "--out", str(tmp_path / "numbers.json")]) == 0
    assert {"AtoB", "BtoA"} <= json.loads((tmp_path / "numbers.json").read_text()).keys()
    assert bundle_file(folder) == folder / "state.safetensors"


def test_a_checkpoint_without_its_run_translates_too(run, data, tmp_path):
    folder = shutil.copytree(run / "checkpoints/step-00000004", tmp_path / "step-00000004")
    assert same(load_bundle(folder), bundle_at(run, 4))


def test_a_damaged_checkpoint_is_refused_in_one_line(run, tmp_path):
    folder = shutil.copytree(run / "checkpoints/step-00000004", tmp_path / "step-00000004")
    content = bytearray((folder / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "state.safetensors").write_bytes(content)
    with pytest.raises(BadInput, match="does not match its hash.*choose another step") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def test_numbered_checkpoints_are_saved_and_kept_for_good(data, tmp_path):
    run = train(
        tiny(data, optim__steps=8, runtime__keep=1, runtime__keep_every=3, runtime__save_every=2), tmp_path / "r"
    )
    assert steps(run) == [3, 6, 8]
    assert [bundle_at(run, step).step for step in steps(run)] == [3, 6, 8]


def test_only_what_the_interval_divides_is_numbered(tmp_path):
    for step in range(1, 8):
        save_state(tmp_path, step, {"weight": torch.tensor([float(step)])}, keep=2, keep_every=3)
    assert steps(tmp_path) == [3, 6, 7]
    save_state(tmp_path, 8, {"weight": torch.zeros(1)}, keep=2)
    assert steps(tmp_path) == [3, 6, 7, 8]


def test_the_bundle_beside_the_checkpoints_is_still_that_of_the_run(run):
    assert bundle_file(run) == run / BUNDLE and load_bundle(run).step == 6


def test_what_was_kept_for_good_stays_when_the_interval_changes(tmp_path):
    for step in range(1, 5):
        save_state(tmp_path, step, {"weight": torch.tensor([float(step)])}, keep=1, keep_every=2)
    for step in range(5, 8):
        save_state(tmp_path, step, {"weight": torch.tensor([float(step)])}, keep=1)
    assert steps(tmp_path) == [2, 4, 7]


def test_checkpoints_that_were_kept_before_the_mark_existed_stay(tmp_path):
    for step in range(1, 5):
        save_state(tmp_path, step, {"weight": torch.tensor([float(step)])}, keep=4, keep_every=2)
    for mark in tmp_path.glob("checkpoints/*/kept"):
        mark.unlink()
    save_state(tmp_path, 5, {"weight": torch.zeros(1)}, keep=1, keep_every=2)
    assert steps(tmp_path) == [2, 4, 5]
