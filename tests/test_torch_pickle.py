"""Hostile and ordinary `.pth` files, each made by the real serialiser and read by the real loader."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import pytest
import torch

from unpaired.core.errors import BadInput
from unpaired.core.torch_pickle import read_pickle, write_pickle

pytestmark = pytest.mark.promise("hostile weights and archives")
WEIGHTS = {"model.1.weight": torch.arange(6.0).reshape(2, 3), "model.1.bias": torch.zeros(2)}


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def assert_same(found, expected):
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value) and found[key].dtype == value.dtype, key


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_of_any_vintage_comes_back_as_it_was(tmp_path, zipped):
    path = saved(tmp_path / "net.pth", OrderedDict(WEIGHTS), _use_new_zipfile_serialization=zipped)
    assert_same(read_pickle(path), WEIGHTS)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_parallel_and_compiled_networks_are_taken_off(tmp_path, prefix):
    path = saved(tmp_path / "net.pth", {prefix + key: value for key, value in WEIGHTS.items()})
    assert_same(read_pickle(path), WEIGHTS)


def test_the_weights_of_a_larger_checkpoint_are_found_and_its_notes_passed_over(tmp_path):
    path = saved(tmp_path / "net.pth", {"meta": {"epoch": 3}, "state_dict": {**WEIGHTS, "version": 2}})
    assert_same(read_pickle(path), WEIGHTS)


def test_half_precision_becomes_single_and_counters_stay_whole(tmp_path):
    path = saved(tmp_path / "net.pth", {"w": torch.ones(3).half(), "n": torch.tensor(7)})
    assert_same(read_pickle(path), {"w": torch.ones(3), "n": torch.tensor(7)})


def test_what_is_written_loads_as_tensors_only_and_shares_no_memory(tmp_path):
    row = torch.ones(1, requires_grad=True).expand(4)
    write_pickle(tmp_path / "new/net.pth", {"a": row, "b": row.double(), "n": torch.tensor(1)})
    found = torch.load(tmp_path / "new/net.pth", weights_only=True)
    assert {key: value.dtype for key, value in found.items()} == {
        "a": torch.float32,
        "b": torch.float32,
        "n": torch.int64,
    }
    assert all(not value.requires_grad and value.device.type == "cpu" for value in found.values())
    assert found["a"].untyped_storage().nbytes() == 16


# Hostile files


class Payload:
    """Creates a canary file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: {**WEIGHTS, "x": p}, lambda p: {"state_dict": {"a": [p]}}])
def test_code_in_a_file_never_runs(tmp_path, wrap, zipped):
    canary = tmp_path / "canary"
    path = saved(tmp_path / "net.pth", wrap(Payload(canary)), _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadInput, match=r"net\.pth: holds more than tensors \(posix\.system\)") as refusal:
        read_pickle(path)
    assert not canary.exists() and "\n" not in str(refusal.value)
    torch.load(path, weights_only=False)
    assert canary.exists()  # the file is what it is said to be


def test_a_bare_pickle_never_runs(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "net.pth"
    path.write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(BadInput):
        read_pickle(path)
    assert not canary.exists()


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused_unread(tmp_path):
    plain, bomb = saved(tmp_path / "plain.pth", {"w": torch.zeros(1000, 1000)}), tmp_path / "bomb.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert bomb.stat().st_size < 100_000
    assert torch.load(bomb, weights_only=True)["w"].numel() == 1_000_000  # torch itself would have unpacked it
    with pytest.raises(BadInput, match="unpacks to more than its own size"):
        read_pickle(bomb)


def test_a_shape_larger_than_the_file_is_refused(tmp_path):
    path = saved(tmp_path / "net.pth", {"w": torch.zeros(1).expand(10**6, 10**6)})
    with pytest.raises(BadInput, match=r"w claims \(1000000, 1000000\), more than the file holds"):
        read_pickle(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path, bad):
    path = saved(tmp_path / "net.pth", {"w": torch.tensor([1.0, bad])})
    with pytest.raises(BadInput, match="w holds values that are not finite"):
        read_pickle(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [([1, 2], "found list"), ({"a": 1}, "found none under a"), (torch.zeros(2), "found Tensor")],
)
def test_what_is_no_dictionary_of_tensors_is_refused(tmp_path, content, words):
    with pytest.raises(BadInput, match=words):
        read_pickle(saved(tmp_path / "net.pth", content))


def test_sparse_tensors_are_refused(tmp_path):
    with pytest.raises(BadInput, match="w is not a plain tensor"):
        read_pickle(saved(tmp_path / "net.pth", {"w": torch.eye(3).to_sparse()}))


def test_every_truncation_and_many_damaged_bytes_end_in_one_line(tmp_path):
    whole = saved(tmp_path / "whole.pth", WEIGHTS).read_bytes()
    path = tmp_path / "net.pth"
    for length in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput) as refusal:
            read_pickle(path)
        assert "\n" not in str(refusal.value)
    for place in range(0, len(whole), 29):  # some damage is in padding and harmless: what matters is how it ends
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_pickle(path)
        except BadInput as refusal:
            assert "\n" not in str(refusal)


def test_size_kind_and_absence_are_told_before_anything_is_read(tmp_path):
    path = saved(tmp_path / "net.pth", WEIGHTS)
    with pytest.raises(BadInput, match="over the limit of 100"):
        read_pickle(path, max_bytes=100)
    with pytest.raises(BadInput, match="not a regular file"):
        read_pickle(tmp_path)
    with pytest.raises(BadInput, match=r"absent\.pth: cannot be read \(No such file or directory\)"):
        read_pickle(tmp_path / "absent.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(BadInput, match="not a regular file"):
        read_pickle(tmp_path / "pipe.pth")


@pytest.mark.slow
def test_a_compiled_program_is_refused(tmp_path):
    code = "import torch,sys,warnings; warnings.simplefilter('ignore')\n"
    code += "torch.jit.save(torch.jit.script(torch.nn.Linear(1,1)), sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "net.pth")], check=True)
    with pytest.raises(BadInput, match=r"net\.pth"):
        read_pickle(tmp_path / "net.pth")
