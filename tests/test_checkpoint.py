import errno
import json
import os
import shutil
import subprocess

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.data_sets import make_model, tiny
from unpaired.checkpoint import BUNDLE, load_bundle, load_state, save_bundle, save_state
from unpaired.errors import BadInput
from unpaired.experiment import build_method


def some_state(seed=0):
    """Tensors of every kind that a run has: floats in odd layouts, counters, bytes, nothing at all."""
    random = torch.Generator().manual_seed(seed)
    return {
        "network/G/weight": torch.randn(4, 3, 5, 5, generator=random).to(memory_format=torch.channels_last),
        "network/G/slice": torch.randn(6, 6, generator=random)[::2, 1:],
        "optimizer/step": torch.tensor(7.0 + seed),
        "network/norm/num_batches_tracked": torch.tensor(seed),
        "extremes": torch.tensor([float("inf"), -0.0, 1e-45, 3.4e38]),
        "random/torch": torch.randint(256, (5056,), dtype=torch.uint8, generator=random),
        "nothing": torch.zeros(0, 3),
    }


def assert_equal(state, other):
    assert state.keys() == other.keys()
    for key, value in state.items():
        assert value.dtype == other[key].dtype and torch.equal(value, other[key]), key


def steps(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_state_comes_back_exactly(tmp_path):
    save_state(tmp_path, 12, some_state(), keep=2)
    state, notes = load_state(tmp_path)
    assert state.step == 12 and notes == []
    assert_equal(some_state(), state.tensors)
    assert torch.equal(torch.signbit(state.tensors["extremes"]), torch.tensor([False, True, False, False]))


def test_without_checkpoints_there_is_no_state(tmp_path):
    assert load_state(tmp_path) == (None, [])


def test_the_newest_is_loaded_and_the_last_few_are_kept(tmp_path):
    for step in (2, 9, 10, 100):
        save_state(tmp_path, step, some_state(step), keep=3)
    assert steps(tmp_path) == ["step-00000009", "step-00000010", "step-00000100"]
    assert load_state(tmp_path)[0].step == 100


def test_the_same_step_may_be_saved_again(tmp_path):
    save_state(tmp_path, 5, some_state(1), keep=2)
    save_state(tmp_path, 5, some_state(2), keep=2)
    assert_equal(load_state(tmp_path)[0].tensors, some_state(2))
    assert steps(tmp_path) == ["step-00000005"]


def test_only_complete_checkpoints_count_among_those_kept(tmp_path):
    """Folders without a manifest, as a power cut leaves them, must not push a whole one out."""
    save_state(tmp_path, 1, some_state(1), keep=2)
    for step in (2, 3, 4):
        (tmp_path / f"checkpoints/step-{step:08d}").mkdir()
    save_state(tmp_path, 5, some_state(5), keep=2)
    shutil.rmtree(tmp_path / "checkpoints/step-00000005")
    assert load_state(tmp_path)[0].step == 1


def damage_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {
    "a flipped bit": lambda folder: damage_byte(folder / "state.safetensors"),
    "a byte missing": lambda folder: truncate(folder / "state.safetensors"),
    "no state": lambda folder: (folder / "state.safetensors").unlink(),
    "half a manifest": lambda folder: truncate(folder / "manifest.json"),
    "an empty manifest": lambda folder: (folder / "manifest.json").write_text(""),
    "another JSON": lambda folder: (folder / "manifest.json").write_text("[]"),
    "no hash": lambda folder: (folder / "manifest.json").write_text('{"step": 2}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_said_in_one_line_and_the_one_before_it_used(tmp_path, damage):
    for step in (1, 2):
        save_state(tmp_path, step, some_state(step), keep=2)
    DAMAGES[damage](tmp_path / "checkpoints/step-00000002")
    state, notes = load_state(tmp_path)
    assert state.step == 1
    assert_equal(state.tensors, some_state(1))
    assert len(notes) == 1 and "\n" not in notes[0]
    assert "step-00000002: damaged" in notes[0] and "the one before" in notes[0]


def test_when_all_are_damaged_each_is_named(tmp_path):
    for step in (1, 2):
        save_state(tmp_path, step, some_state(step), keep=2)
        truncate(tmp_path / f"checkpoints/step-{step:08d}/state.safetensors")
    state, notes = load_state(tmp_path)
    assert state is None and len(notes) == 2


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path):
    """Passing over it would train the same steps again, and drop it."""
    save_state(tmp_path, 1, some_state(), keep=2)
    path = tmp_path / "checkpoints/step-00000001/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(BadInput, match="step-00000001: format 2, this version reads up to 1; upgrade"):
        load_state(tmp_path)


def test_leftovers_of_a_killed_save_are_ignored_and_cleared_away(tmp_path):
    save_state(tmp_path, 1, some_state(1), keep=2)
    left = tmp_path / "checkpoints/step-00000002.part"
    shutil.copytree(tmp_path / "checkpoints/step-00000001", left)
    state, notes = load_state(tmp_path)
    assert state.step == 1 and notes == []
    save_state(tmp_path, 3, some_state(3), keep=2)
    assert steps(tmp_path) == ["step-00000001", "step-00000003"]


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


@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_no_whole_bundle_is_refused_in_one_line(model, kind):
    spoil, words = SPOILT[kind]
    spoil(model)
    with pytest.raises(BadInput, match=words) as caught:
        load_bundle(model)
    assert str(model) in str(caught.value) and "\n" not in str(caught.value)


class FullDisk:
    """`os.fsync` as it answers when the disk runs full at its n-th call."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, handle):
        self.calls += 1
        if self.calls == self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("at", [1, 2])
def test_a_disk_that_runs_full_leaves_the_earlier_checkpoint_and_nothing_half_written(tmp_path, monkeypatch, at):
    save_state(tmp_path, 1, some_state(1), keep=1)
    monkeypatch.setattr(os, "fsync", FullDisk(at))
    with pytest.raises(OSError, match="No space left"):
        save_state(tmp_path, 2, some_state(2), keep=1)
    monkeypatch.undo()
    assert steps(tmp_path) == ["step-00000001"]
    assert_equal(load_state(tmp_path)[0].tensors, some_state(1))


def test_a_disk_that_runs_full_leaves_the_earlier_bundle_and_nothing_half_written(tmp_path, model, monkeypatch):
    before = model.read_bytes()
    bundle = load_bundle(model)
    monkeypatch.setattr(os, "fsync", FullDisk(1))
    with pytest.raises(OSError, match="No space left"):
        save_bundle(model, bundle.experiment, build_method(bundle.experiment), step=8)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [BUNDLE]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB, where mounting is permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_on_a_truly_full_disk_the_earlier_state_survives(small_disk):
    save_state(small_disk, 1, {"small": torch.ones(100)}, keep=1)
    with pytest.raises(OSError, match="[Nn]o space left"):
        save_state(small_disk, 2, {"large": torch.ones(100_000)}, keep=1)
    assert_equal(load_state(small_disk)[0].tensors, {"small": torch.ones(100)})
    assert steps(small_disk) == ["step-00000001"]


def test_a_write_that_safetensors_refuses_is_an_operating_system_error(tmp_path):
    """Its own exception would reach the user as a traceback."""
    with pytest.raises(OSError, match="missing"):
        save_bundle(tmp_path / "missing" / BUNDLE, tiny(tmp_path), build_method(tiny(tmp_path)), step=1)
