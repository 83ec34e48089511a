"""The writer of checkpoints on a disk that fails at every one of its calls, in every way."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

from tests.faults.disk import Disk, FullDisk, Order, PowerCut, failing
from unpaired.checkpoints.run_state import load_state, save_state
from unpaired.core.errors import Stopped
from unpaired.core.files import write_text, written_whole

pytestmark = pytest.mark.promise("safe checkpoints")


def some_state(step):
    random = torch.Generator().manual_seed(step)
    return {"weight": torch.randn(300, generator=random), "steps": torch.tensor(step)}


def holds(run, *steps):
    """One of these steps is loaded, whole."""
    state, _ = load_state(run)
    assert state is not None and state.step in steps
    expected = some_state(state.step)
    assert state.tensors.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in state.tensors.items())
    return state.step


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A run with one checkpoint, the remains of a killed save, and one of the step that comes next."""
    run = tmp_path_factory.mktemp("earlier") / "run"
    save_state(run, 1, some_state(1), keep=1)
    shutil.copytree(run / "checkpoints/step-00000001", run / "checkpoints/step-00000002.part")
    return run


def calls_of_a_save(earlier, folder, step):
    run = shutil.copytree(earlier, folder / "count")
    with failing(Disk()) as disk:
        save_state(run, step, some_state(step), keep=1)
    return disk.calls


@pytest.mark.parametrize("step", [1, 2], ids=["the same step again", "the next step"])
@pytest.mark.parametrize("fault", ["before", "after", "torn", "ENOSPC", "EIO"])
def test_a_whole_checkpoint_is_there_wherever_the_writer_fails(earlier, tmp_path, promise, fault, step):
    calls = calls_of_a_save(earlier, tmp_path, step)
    assert {"write", "fsync", "rename", "replace", "unlink"} <= set(calls)
    failed = 0
    for at in range(1, len(calls) + 1):
        run = shutil.copytree(earlier, tmp_path / f"{at}")
        try:
            with failing(Disk(at, fault)):
                save_state(run, step, some_state(step), keep=1)
        except (PowerCut, OSError):
            failed += 1
        holds(run, 1, step)
        assert (run / "checkpoints/latest").read_text() in ("step-00000001\n", f"step-{step:08d}\n")
        save_state(run, 3, some_state(3), keep=1)
        assert holds(run, 3) == 3
        left = sorted(path.name for path in (run / "checkpoints").iterdir())
        assert left == ["latest", "step-00000003"], f"left after a fault in call {at}, {calls[at - 1]}"
    assert failed >= len(calls) // 2
    promise(f"{fault} at each of {len(calls)} calls")


def test_everything_is_on_the_disk_before_it_takes_its_name(tmp_path):
    """What was not flushed before the rename may be lost in a power cut although the name is there."""
    with failing(order := Order()):
        save_state(tmp_path, 5, some_state(5), keep=1)
    ((final, missing),) = order.renamed
    assert final.name == "step-00000005" and missing == set()
    assert final.parent in order.flushed


def test_a_disk_that_returns_other_bytes_is_found_before_anything_is_deleted(tmp_path, monkeypatch):
    import unpaired.checkpoints.run_state as state

    save_state(tmp_path, 1, some_state(1), keep=1)
    plain = state.write_bytes

    def wrong(path, content):
        plain(path, content[:-1] + b"?" if path.suffix == ".safetensors" else content)

    monkeypatch.setattr(state, "write_bytes", wrong)
    with pytest.raises(OSError, match="does not read back"):
        save_state(tmp_path, 2, some_state(2), keep=1)
    monkeypatch.undo()
    assert holds(tmp_path, 1) == 1


def test_a_text_whose_writing_stops_leaves_the_earlier_one_whole(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write_text(path, "earlier")
    monkeypatch.setattr(os, "fsync", FullDisk(1))
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "later")
    monkeypatch.undo()
    with pytest.raises(Stopped), written_whole(path) as part:
        part.write_text("half")
        raise Stopped
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]
