import json
import os
import random

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.data_sets import make_model, tiny
from tests.faults.disk import FullDisk
from unpaired.checkpoints.bundle import BUNDLE, load_bundle, save_bundle
from unpaired.core.errors import BadInput
from unpaired.experiment import build_method


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "run")


def test_a_bundle_comes_back_with_equal_outputs_and_settings(tmp_path):
    experiment = tiny(tmp_path, method__generator__blocks=2, optim__lr="3e-4")
    torch.manual_seed(0)
    method = build_method(experiment)
    path = tmp_path / BUNDLE
    save_bundle(path, experiment, method, step=41)
    bundle = load_bundle(path)
    assert bundle.step == 41 and bundle.experiment == experiment
    assert list(bundle.translators) == ["AtoB", "BtoA"]
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    for direction, network in method.translators.items():
        assert torch.equal(bundle.translators[direction](images), network(images))
    assert not torch.equal(bundle.translators["AtoB"](images), bundle.translators["BtoA"](images))


def test_a_runs_folder_stands_for_its_bundle(model):
    assert load_bundle(model.parent).experiment == load_bundle(model).experiment


def test_loaded_generators_are_ready_to_translate(model):
    for network in load_bundle(model).translators.values():
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_batch_norm_travels_with_its_running_statistics(tmp_path):
    experiment = tiny(tmp_path, method__generator__norm="batch")
    torch.manual_seed(0)
    method = build_method(experiment)
    images = torch.rand(2, 3, 32, 32)
    method.G(images)  # moves the statistics
    save_bundle(tmp_path / BUNDLE, experiment, method, step=1)
    assert torch.equal(load_bundle(tmp_path).translators["AtoB"](images), method.G.eval()(images))


@pytest.mark.parametrize("where", ["weights", "header"])
@pytest.mark.slow
def test_a_single_changed_bit_is_noticed(model, where):
    content = model.read_bytes()
    end_of_header = 8 + int.from_bytes(content[:8], "little")
    rng = random.Random(where)
    span = range(end_of_header, len(content)) if where == "weights" else range(end_of_header)
    for place in rng.sample(span, 40):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << rng.randrange(8)
        model.write_bytes(bytes(spoilt))
        with pytest.raises(BadInput, match=r"bundle\.safetensors"):
            load_bundle(model)
    model.write_bytes(content)
    load_bundle(model)


def test_other_settings_with_the_weights_of_before_are_noticed(model):
    rewrite(model, {"step": 999})
    with pytest.raises(BadInput, match="damaged: its SHA-256 is .* was written; take another copy"):
        load_bundle(model)


def rewrite(path, facts=None, tensors=None):
    """The bundle with other metadata or other tensors."""
    with safe_open(path, framework="pt") as file:
        old = json.loads(file.metadata()["unpaired"])
    content = load_file(path)
    save_file(content if tensors is None else tensors(content), path, {"unpaired": json.dumps(old | (facts or {}))})


SPOILT = {
    "text": (lambda path: path.write_text("no bundle at all"), "not a readable bundle"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable bundle"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "not a readable bundle"),
    "header cut": (lambda path: path.write_bytes(path.read_bytes()[:100]), "not a readable bundle"),
    "no metadata": (lambda path: save_file({"w": torch.zeros(1)}, path), "not a bundle of unpaired"),
    "other metadata": (lambda path: save_file({"w": torch.zeros(1)}, path, {"format": "pt"}), "not a bundle"),
    "odd metadata": (lambda path: save_file({"w": torch.zeros(1)}, path, {"unpaired": "3"}), "not a bundle"),
    "no JSON": (lambda path: save_file({"w": torch.zeros(1)}, path, {"unpaired": "{"}), "not a readable bundle"),
    "newer": (lambda path: rewrite(path, {"format": 2}), "format 2, this version reads up to 1; upgrade unpaired"),
    "missing": (lambda path: path.unlink(), "no such file; expected a run's folder or a bundle"),
    "wrong shapes": (
        lambda path: rewrite(path, tensors=lambda old: {key: value[..., :1].clone() for key, value in old.items()}),
        "do not fit its settings",
    ),
    "a tensor missing": (
        lambda path: rewrite(path, tensors=lambda old: dict(list(old.items())[1:])),
        "do not fit its settings",
    ),
    "unknown setting": (
        lambda path: rewrite(path, {"experiment": {"name": "x", "optim": {"momentum": 1}}}),
        "unknown setting optim.momentum",
    ),
}


@pytest.mark.promise("hostile weights and archives")
@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_no_whole_bundle_is_refused_in_one_line(model, kind):
    spoil, words = SPOILT[kind]
    spoil(model)
    with pytest.raises(BadInput, match=words) as caught:
        load_bundle(model)
    assert str(model) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.promise("safe checkpoints")
def test_a_disk_that_runs_full_leaves_the_earlier_bundle_and_nothing_half_written(tmp_path, model, monkeypatch):
    before = model.read_bytes()
    bundle = load_bundle(model)
    monkeypatch.setattr(os, "fsync", FullDisk(1))
    with pytest.raises(OSError, match="No space left"):
        save_bundle(model, bundle.experiment, build_method(bundle.experiment), step=8)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [BUNDLE]


def test_a_write_that_safetensors_refuses_is_an_operating_system_error(tmp_path):
    """Its own exception would reach the user as a traceback."""
    with pytest.raises(OSError, match="missing"):
        save_bundle(tmp_path / "missing" / BUNDLE, tiny(tmp_path), build_method(tiny(tmp_path)), step=1)
