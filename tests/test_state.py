import errno
import os
import random
import shutil
import subprocess
import threading

import pytest
import torch

from tests.faults.disk import FullDisk
from unpaired.checkpoints.run_state import PROTECTED, load_state, read_manifest, save_state, seal, verify
from unpaired.core.errors import BadInput

pytestmark = pytest.mark.promise("safe checkpoints")


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
    return sorted(path.name for path in (run / "checkpoints").iterdir() if path.name != "latest")


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
    "another one's content": lambda folder: shutil.copy(folder.parent / "step-00000001/manifest.json", folder),
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
    folder = tmp_path / "checkpoints/step-00000001"
    (folder / "manifest.json").write_text(seal(read_manifest(folder) | {"format": 2}))
    with pytest.raises(BadInput, match="step-00000001: format 2, this version reads up to 1; upgrade"):
        load_state(tmp_path)


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
def test_any_byte_flipped_and_any_byte_missing_is_noticed(tmp_path, promise, name):
    """Every byte of the manifest, 100 places of the tensors: the one before is used each time."""
    for step in (1, 2):
        save_state(tmp_path, step, {"weight": torch.full((50,), float(step))}, keep=2)
    path = tmp_path / "checkpoints/step-00000002" / name
    content, rng = path.read_bytes(), random.Random(5)
    everywhere = range(len(content))
    places = everywhere if name == "manifest.json" else rng.sample(everywhere, 100)
    for place in places:
        for spoilt in (
            content[:place] + bytes([content[place] ^ rng.randrange(1, 256)]) + content[place + 1 :],
            content[:place],
        ):
            path.write_bytes(spoilt)
            state, notes = load_state(tmp_path)
            assert state.step == 1 and len(notes) == 1, f"byte {place}"
    path.write_bytes(content)
    assert load_state(tmp_path)[0].step == 2
    promise(f"{name}: {len(places)} of {len(content)} bytes flipped, and cut there, each noticed")


def test_latest_names_the_newest(tmp_path):
    for step in (3, 4):
        save_state(tmp_path, step, some_state(step), keep=2)
        assert (tmp_path / "checkpoints/latest").read_text() == f"step-{step:08d}\n"


@pytest.mark.parametrize("name", PROTECTED)
def test_best_and_pinned_ones_are_never_deleted(tmp_path, name):
    for step in (1, 2, 3, 4, 5):
        save_state(tmp_path, step, some_state(step), keep=2)
        if step == 2:
            (tmp_path / "checkpoints/step-00000002" / name).touch()
    assert steps(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]
    verify(tmp_path / "checkpoints/step-00000002")


def test_truncated_ones_do_not_push_whole_ones_out(tmp_path):
    for step in (1, 2, 3):
        save_state(tmp_path, step, some_state(step), keep=3)
    for step in (2, 3):
        truncate(tmp_path / f"checkpoints/step-{step:08d}/state.safetensors")
    save_state(tmp_path, 4, some_state(4), keep=2)
    assert {"step-00000001", "step-00000004"} <= set(steps(tmp_path))


def test_one_that_cannot_be_deleted_is_told_and_saving_goes_on(tmp_path, monkeypatch):
    save_state(tmp_path, 1, some_state(1), keep=1)
    plain = os.rename

    def rename(source, target, **rest):
        if "step-00000001" in str(source):
            raise PermissionError(errno.EACCES, "Permission denied")
        plain(source, target, **rest)

    monkeypatch.setattr(os, "rename", rename)
    (note,) = save_state(tmp_path, 2, some_state(2), keep=1)
    assert "step-00000001: cannot be deleted (Permission denied)" in note
    assert load_state(tmp_path)[0].step == 2


def test_a_loadable_one_is_there_at_every_moment(tmp_path):
    """With one kept, a reader beside the writer never finds none."""
    save_state(tmp_path, 0, some_state(0), keep=1)
    done, found, missing = threading.Event(), [], []

    def watch():
        while not done.is_set():
            newest = max((path for path in (tmp_path / "checkpoints").glob("step-????????")), default=None)
            (found if newest is not None else missing).append(newest)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for step in range(1, 20):
            save_state(tmp_path, step, some_state(step), keep=1)
    finally:
        done.set()
        watcher.join()
    assert found and not missing


def test_leftovers_of_a_killed_save_are_ignored_and_cleared_away(tmp_path):
    save_state(tmp_path, 1, some_state(1), keep=2)
    left = tmp_path / "checkpoints/step-00000002.part"
    shutil.copytree(tmp_path / "checkpoints/step-00000001", left)
    state, notes = load_state(tmp_path)
    assert state.step == 1 and notes == []
    save_state(tmp_path, 3, some_state(3), keep=2)
    assert steps(tmp_path) == ["step-00000001", "step-00000003"]


@pytest.mark.parametrize("at", [1, 2])
def test_a_disk_that_runs_full_leaves_the_earlier_checkpoint_and_nothing_half_written(tmp_path, monkeypatch, at):
    save_state(tmp_path, 1, some_state(1), keep=1)
    monkeypatch.setattr(os, "fsync", FullDisk(at))
    with pytest.raises(OSError, match="No space left"):
        save_state(tmp_path, 2, some_state(2), keep=1)
    monkeypatch.undo()
    assert steps(tmp_path) == ["step-00000001"]
    assert_equal(load_state(tmp_path)[0].tensors, some_state(1))


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


@pytest.mark.slow
def test_on_a_truly_full_disk_the_earlier_state_survives(small_disk):
    save_state(small_disk, 1, {"small": torch.ones(100)}, keep=1)
    with pytest.raises(OSError, match="[Nn]o space left"):
        save_state(small_disk, 2, {"large": torch.ones(100_000)}, keep=1)
    assert_equal(load_state(small_disk)[0].tensors, {"small": torch.ones(100)})
    assert steps(small_disk) == ["step-00000001"]
