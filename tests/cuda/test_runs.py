"""Every method, and whole runs, on a card. UNPAIRED_TEST_DEVICE=cpu runs the same bodies without one."""

from __future__ import annotations

import pytest
import torch

from tests.data.test_resident import opened
from tests.data_sets import make_data, tiny
from tests.training.test_run import assert_same_end, lines, stop_at
from tests.training.test_static_step import EVERY, MASKS, PAIRS, PENALISED, SIDES, batches, put, trainer
from tests.training.test_validation import small_extractor
from unpaired.checkpoints.bundle import BEST, BUNDLE, load_bundle
from unpaired.core.errors import Stopped
from unpaired.data.resident import ResidentImages
from unpaired.inference import Translator
from unpaired.training import train, validation


def steps_of(made, given):
    """The losses of each step."""
    found = []
    for step, batch in enumerate(given):
        torch.manual_seed(step)
        on_device = put(made, batch)
        masks = tuple(map(made.engine.put, batch.masks)) if batch.masks else None
        losses = made.train_step(type(batch)(on_device.x, on_device.y, masks, on_device.pairs, batch.weight))
        found.append({name: float(loss) for name, loss in losses.items()})
    made.engine.check_pending()
    return found


def assert_recorded_as_written(device, count=8, side=16, make=None, **settings):
    """Equal losses to rounding, with averages; the steps were recorded if the device can."""
    more = settings.pop("batch", {})
    recorded, written = (trainer(make=make, device=device, graphs=on, **settings) for on in (True, False))
    one, other = (steps_of(made, batches(count, side=side, **more)) for made in (recorded, written))
    for step, (ours, expected) in enumerate(zip(one, other, strict=True)):
        assert ours == pytest.approx(expected, rel=2e-2, abs=1e-3), step
    assert (recorded._run.key is not None) == (device != "cpu") and written._run.key is None
    assert not recorded.broken()


@pytest.mark.parametrize("name", EVERY | PENALISED)
def test_every_method_is_recorded(device, name):
    """With histories, averages, two parts a step, dropout, batch statistics and choices made on the host."""
    assert_recorded_as_written(device, side=SIDES.get(name, 16), make=(EVERY | PENALISED)[name], accumulate=2)


@pytest.mark.parametrize(
    "more", [{"masks": MASKS}, {"pairs": PAIRS}, {"weight": 0.5}], ids=["masks", "pairs", "weight"]
)
def test_masks_pairs_and_weights_are_recorded(device, more):
    assert_recorded_as_written(device, batch=more)


@pytest.mark.parametrize("precision", ["exact", "fp32", "bf16"])
def test_every_precision_is_recorded(device, precision):
    assert_recorded_as_written(device, precision=precision)


def test_checkpointed_blocks_with_dropout_are_recorded(device):
    assert_recorded_as_written(device, make=EVERY["cut with dropout"], checkpointed=True)


def test_crops_cut_on_the_device_are_those_of_the_host(device, tmp_path):
    root = make_data(tmp_path / "data")
    host, there = opened(root, False, batch=2), opened(root, True, batch=2)
    there.store.resident = ResidentImages(torch.device(device))
    for step in range(24):
        expected, batch = host.batch(step), there.batch(step)
        for ours, pixels in ((expected.x, batch.a), (expected.y, batch.b)):
            assert torch.equal(pixels.on(torch.device(device)).cpu(), ours), step
    assert batch.a.is_resident and batch.b.is_resident


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("cuda") / "data", test=12)


def experiment(data, device, **settings):
    usual = {"optim__steps": 8, "optim__ema_decay": 0.9, "method__history": 2, "runtime__deterministic": True}
    usual |= {"runtime__validate_every": 4, "runtime__save_every": 4, "optim__colour_start": 2}
    return tiny(data, **usual | {"runtime__device": device} | settings)


def test_a_stopped_and_resumed_run_ends_in_the_bits_of_an_uninterrupted_one(device, data, tmp_path, monkeypatch):
    """With --deterministic; samples, validation, the doctor, averages and histories are part of the run."""
    monkeypatch.setattr(validation, "load_extractor", small_extractor)
    whole = train(experiment(data, device), tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Stopped):
            train(experiment(data, device), tmp_path / "run")
    resumed = train(experiment(data, device), tmp_path / "run")
    assert_same_end(resumed, whole)
    assert [line["step"] for line in lines(whole) if "validation" in line] == [4, 8]
    assert (whole / BEST).is_file() and len(list((whole / "samples").glob("*.png"))) >= 4


def test_a_run_moves_to_the_cpu_and_back_and_is_fine_tuned(device, data, tmp_path):
    run, plain = tmp_path / "run", {"runtime__validate_every": 0}
    for steps, there in ((4, device), (6, "cpu"), (8, device)):
        train(experiment(data, there, optim__steps=steps, **plain), run, allow_config_change=True)
    assert load_bundle(run / BUNDLE).step == 8
    tuned = train(experiment(data, device, optim__start=str(run), optim__colour_start=0, **plain), tmp_path / "tuned")
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    for made in (run, tuned):
        ours, on_cpu = (
            Translator.load(made, device=there, precision="fp32").translate(images) for there in (device, "cpu")
        )
        torch.testing.assert_close(ours, on_cpu, rtol=0, atol=2 / 255)
