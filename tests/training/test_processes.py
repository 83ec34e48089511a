"""Several processes train as one: real ones, over gloo, and over NCCL where there are two GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.data_sets import make_data
from tests.processes import PROJECT, end, start
from tests.training.test_optimizer_step import fresh, images, unchanged, weights
from unpaired.checkpoints.run_state import load_state
from unpaired.config import DataConfig
from unpaired.data.pairing import Portion, UnpairedImages
from unpaired.methods import Batch
from unpaired.training.processes import Processes

pytestmark = pytest.mark.promise("several processes")
STEPS = str(PROJECT / "tests/training/equal_steps.py")
NAN_IMAGES = str(PROJECT / "tests/training/nan_images.py")


def eight_images(folder):
    """Eight images of A, so that two processes share them evenly, and five of B."""
    return make_data(folder / "data", a=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return eight_images(tmp_path_factory.mktemp("processes"))


def steps(data, out, norm, processes, batch, accumulate=1, device="cpu"):
    done = end(start([STEPS, str(data), norm, str(batch), str(accumulate), str(out), device], processes))
    assert [code for code, _ in done] == [0] * processes, done
    return load_file(out), [said.split("seen", 1)[1].split() for _, said in done]


def distance(tensors, others):
    """The largest relative distance of a network's tensor."""
    assert tensors.keys() == others.keys()
    pairs = ((value.double(), others[key].double()) for key, value in tensors.items())
    return max(float((a - b).norm() / b.norm().clamp_min(1e-12)) for a, b in pairs)


def assert_two_processes_equal_one(data, tmp_path, promise, norm, device):
    """In double precision, where the order of sums does not show through Adam's first steps."""
    one, (seen,) = steps(data, tmp_path / "one.safetensors", norm, 1, 2, device=device)
    two, (first, second) = steps(data, tmp_path / "two.safetensors", norm, 2, 1, device=device)
    assert distance(two, one) <= 1e-6
    assert [name for pair in zip(first, second, strict=True) for name in pair] == seen
    promise(
        f"2 x batch 1 against 1 x batch 2, {norm} norm, {device}: apart by {distance(two, one):.1e} after ten steps"
    )


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_two_processes_of_one_image_equal_one_process_of_two(data, tmp_path, promise, norm):
    assert_two_processes_equal_one(data, tmp_path, promise, norm, "cpu")


def test_an_image_of_weight_0_touches_neither_weights_nor_histories(tmp_path):
    """What keeps a process in step that has no image left of an epoch of odd size."""
    trainer = fresh(tmp_path)
    before = weights(trainer)
    trainer.train_step(Batch(*images(0), weight=0.0))
    assert unchanged(trainer, before)
    assert not any(history.images for history in trainer.method.planned.values())
    trainer.train_step(Batch(*images(0), weight=1.0))
    assert not unchanged(trainer, before)
    assert all(history.images for history in trainer.method.planned.values())


def test_accumulating_four_images_equals_a_batch_of_four(data, tmp_path, promise):
    whole, _ = steps(data, tmp_path / "whole.safetensors", "instance", 1, 4)
    parts, _ = steps(data, tmp_path / "parts.safetensors", "instance", 1, 1, accumulate=4)
    both, _ = steps(data, tmp_path / "both.safetensors", "instance", 2, 1, accumulate=2)
    assert distance(parts, whole) <= 1e-6 and distance(both, whole) <= 1e-6
    apart = f"{distance(parts, whole):.1e}, 2 processes x 2 parts {distance(both, whole):.1e}"
    promise(f"4 parts against batch 4: apart by {apart}")


@pytest.mark.parametrize(("other", "total"), [(0.5, 1.5), (float("nan"), float("nan"))])
def test_gradients_are_averaged_and_a_nan_of_any_process_reaches_all(monkeypatch, other, total):
    """By hand: two processes, of which the other one has the gradients 3, 4 and 6 and the health `other`."""
    theirs = torch.tensor([3.0, 4.0, 6.0, other])
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flat: flat.add_(theirs))
    processes = Processes()
    processes.count = 2
    gradients = [torch.tensor([1.0, 2.0]), torch.tensor([[2.0]])]
    health = processes.average_(gradients, torch.tensor(1.0))
    assert [gradient.tolist() for gradient in gradients] == [[2.0, 3.0], [[4.0]]]
    assert float(health) == pytest.approx(total, nan_ok=True)


@pytest.mark.parametrize(("images", "processes", "batch"), [(8, 2, 1), (7, 2, 1), (7, 3, 2), (2, 3, 1), (5, 4, 1)])
def test_processes_see_disjoint_images_whose_union_is_the_epoch(tmp_path, images, processes, batch):
    root = make_data(tmp_path, a=images, b=2)
    cfg = DataConfig(root=str(root), load_size=20, crop_size=16, workers=0, batch=batch)
    shares = [UnpairedImages(cfg, 0, portion=Portion(k, processes)) for k in range(processes)]
    for epoch in range(2):
        seen, first = [], epoch * shares[0].steps_per_epoch
        for step in range(first, first + shares[0].steps_per_epoch):
            batches = [share.batch(step) for share in shares]
            seen += [file.name for b in batches if b.share for file in b.files[: len(b.x)]]
            assert sum(b.share for b in batches) == pytest.approx(processes)
        assert sorted(seen) == [f"{k:02}.png" for k in range(images)]


def command(data, run, *more):
    settings = ["--runtime.precision", "fp32", "--runtime.threads", "1", "--runtime.log-every", "1"]
    settings += ["--runtime.save-every", "1000", "--runtime.sample-every", "1000"]
    return ["-m", "unpaired", "train", "smoke", "--data", str(data), "--out", str(run), *settings, *more]


def wait_for(path, processes, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists() and all(p.poll() is None for p in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists(), [p.communicate() for p in processes if p.poll() is not None]


def assert_same_state(run, other):
    for folder in sorted((run / "checkpoints").glob("step-*"))[-1:]:
        for path in folder.glob("*.safetensors"):
            one, two = load_file(path), load_file(other / "checkpoints" / folder.name / path.name)
            assert one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())


SIGNALLED = ["--steps", "60", "--method.generator.dropout"]


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """Seven images for two processes, an odd number, too; and an uninterrupted run of both."""
    folder = tmp_path_factory.mktemp("seven")
    data, whole = make_data(folder / "data", a=7), folder / "whole"
    assert [code for code, _ in end(start(command(data, whole, *SIGNALLED)))] == [0, 0]
    return data, whole


@pytest.mark.parametrize("signalled", [0, 1])
def test_signalling_one_of_two_stops_both_and_the_run_goes_on_exactly(seven, tmp_path, signalled):
    (data, whole), run = seven, tmp_path / "run"
    two = start(command(data, run, *SIGNALLED))
    wait_for(run / "metrics.jsonl", two)
    two[signalled].send_signal(signal.SIGTERM)
    began = time.monotonic()
    for code, said in end(two):
        assert code == 75 and "Traceback" not in said, said
    assert time.monotonic() - began < 30
    assert 1 <= load_state(run)[0].step < 60
    assert [code for code, _ in end(start(command(data, run, *SIGNALLED)))] == [0, 0]
    assert_same_state(run, whole)
    histories = [
        load_file(run / "checkpoints/step-00000060" / name)
        for name in ("state.safetensors", "process-0001.safetensors")
    ]
    assert not torch.equal(histories[0]["planned/past_x/image/0000"], histories[1]["planned/past_x/image/0000"])


def test_a_killed_process_ends_the_other_within_30_seconds(data, tmp_path, promise):
    two = start(command(data, tmp_path / "run", "--steps", "100000"))
    wait_for(tmp_path / "run/metrics.jsonl", two)
    two[1].kill()
    began = time.monotonic()
    (code, said), _ = end(two, timeout=60)
    seconds = time.monotonic() - began
    assert code == 2 and "lost another one, which was killed" in said and seconds < 30
    assert "Traceback" not in said
    promise(f"one killed, the other ended {seconds:.1f} s later")


def test_what_one_process_cannot_use_ends_both_with_its_message(tmp_path):
    """An image that breaks after the run has begun, read by one of them."""
    data = make_data(tmp_path / "data", a=8)
    two = start(command(data, tmp_path / "run", "--steps", "100000", "--data.cache-gb", "0"))
    wait_for(tmp_path / "run/metrics.jsonl", two)
    (data / "trainA/03.png").write_bytes(b"no image")
    began = time.monotonic()
    results = end(two, timeout=60)
    assert time.monotonic() - began < 30
    for code, said in results:
        assert code == 2 and "trainA/03.png" in said, said
    assert sum("ended:" in said for _, said in results) == 1


def test_a_nan_in_one_process_stops_both_and_names_its_files(tmp_path):
    """A float image with a NaN, in A where each process draws its own."""
    data = make_data(tmp_path / "data", a=8, b=1)
    values = np.full((36, 40), 0.5, np.float32)
    Image.fromarray(values).save(data / "trainA/00.tiff")
    (data / "trainA/00.png").unlink()
    values[3, 4] = np.nan
    settings = ["--steps", "100000", "--data.channels-a", "1", "--data.cache-gb", "0", "--method.identity-weight", "0"]
    two = start([NAN_IMAGES, *command(data, tmp_path / "run", *settings)[2:]])
    wait_for(tmp_path / "run/metrics.jsonl", two)
    Image.fromarray(values).save(data / "new.tiff")
    os.replace(data / "new.tiff", data / "trainA/00.tiff")
    for code, said in end(two, timeout=60):
        assert code == 2 and "00.tiff" in said, said


LAUNCHERS = {
    "torch.distributed.run": "--standalone --nproc-per-node 2",
    "accelerate.commands.launch": "--multi_gpu --num_processes 2 --num_machines 1 --main_process_port 0",
}
"""torchrun, and another one that sets the same variables."""


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_start_it(data, tmp_path, launcher):
    pytest.importorskip(launcher)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            launcher,
            *LAUNCHERS[launcher].split(),
            *command(data, tmp_path / "run", "--steps", "3"),
        ],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes of cpu" in done.stderr
    assert load_state(tmp_path / "run")[0].facts["processes"] == 2


def test_another_number_of_processes_is_refused_by_name_unless_allowed(data, tmp_path):
    run = tmp_path / "run"
    assert [code for code, _ in end(start(command(data, run, "--steps", "4")))] == [0, 0]
    alone = [sys.executable, *command(data, run, "--steps", "4")]
    refused = subprocess.run(
        alone, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(PROJECT)}
    )
    assert refused.returncode == 2 and "processes was 2 and is now 1" in refused.stderr


def test_a_mean_of_numbers_on_the_host_uses_the_group_that_the_host_has(monkeypatch):
    used = []
    monkeypatch.setattr("torch.distributed.all_reduce", lambda values, group=None: used.append(group))
    processes = Processes()
    processes.count, processes.group = 2, "gloo"
    assert processes.mean(torch.ones(2, dtype=torch.float64)).tolist() == [0.5, 0.5] and used == ["gloo"]
