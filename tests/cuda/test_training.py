"""Training on a card: recorded steps, batches, determinism and several cards."""

from __future__ import annotations

import pytest
import torch

from tests.models.test_deterministic import assert_same_bits_twice
from tests.training.test_fast_step import images, trainer
from tests.training.test_prefetch import assert_fed, paired_data
from tests.training.test_processes import assert_two_processes_equal_one, eight_images
from unpaired.config import RuntimeConfig
from unpaired.core.errors import BadInput
from unpaired.methods import Batch
from unpaired.training.optimizer_step import NotFinite


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_recorded_steps_are_the_steps_as_written(precision):
    """Generators, discriminators, averages and histories, through a batch of another shape."""
    recorded, written = (trainer(device="cuda", precision=precision, cuda_graphs=on) for on in (True, False))
    for step in range(12):
        batch = images(32 if step != 7 else 48)
        losses = []
        for one in (recorded, written):
            made = one.train_step(Batch(*map(one.engine.put, batch)))
            one.engine.check_pending()
            losses.append({name: float(loss) for name, loss in made.items()})
        assert losses[0] == pytest.approx(losses[1], rel=2e-2 if precision == "bf16" else 1e-3), step
    assert recorded._run.key is not None and written._run.key is None
    assert not recorded.broken()


def test_a_nan_in_a_recorded_step_touches_no_weight():
    made = trainer(device="cuda")
    for _ in range(6):
        made.train_step(Batch(*map(made.engine.put, images())))
    made.engine.check_pending()
    before = [weight.clone() for weight in made.method.parameters()]
    made.train_step(Batch(*(made.engine.put(torch.full_like(image, float("nan"))) for image in images())))
    with pytest.raises(NotFinite) as caught:
        made.engine.check_pending()
    assert caught.value.step == 7 and caught.value.networks == "generators"
    assert all(torch.equal(a, b) for a, b in zip(made.method.parameters(), before, strict=True))


def test_a_state_saved_on_the_cpu_resumes_on_the_card_and_back():
    """Device, dtype and layout of every tensor are those of a fresh trainer, and the next step is taken."""
    for first, second in (("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")):
        one, other = trainer(device=first), trainer(device=second)
        for _ in range(5):
            one.train_step(Batch(*map(one.engine.put, images())))
        fresh = {name: (t.device, t.dtype, t.stride()) for name, t in other._fixed_state().items()}
        other.load({name: value.cpu().contiguous() for name, value in one.state().items()})
        assert {name: (t.device, t.dtype, t.stride()) for name, t in other._fixed_state().items()} == fresh
        for _ in range(5):
            losses = other.train_step(Batch(*map(other.engine.put, images())))
        other.engine.check_pending()
        assert other.steps == 10 and all(loss.isfinite() for loss in losses.values())


def test_too_little_memory_is_one_line_that_names_settings_that_fit():
    made = trainer(device="cuda", cuda_graphs=False)
    batch = Batch(*map(made.engine.put, images(1024)))
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(BadInput, match=r"too little memory for step 1 .*1024x1024.*checkpoint_blocks"):
            made.train_step(batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("precision", ["exact", "fp32"])
def test_batches_on_the_card_hold_the_numbers_that_the_host_makes(tmp_path, precision):
    assert_fed(paired_data(tmp_path), RuntimeConfig(device="cuda", precision=precision))


@pytest.mark.promise("determinism")
def test_a_deterministic_run_gives_the_same_bits_twice_and_leaves_torch_as_it_was(tmp_path, promise):
    assert_same_bits_twice(tmp_path, promise, "cuda")


@pytest.mark.promise("several processes")
@pytest.mark.skipif("torch.cuda.device_count() < 2", reason="needs two CUDA cards")
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_two_processes_of_one_image_equal_one_process_of_two(tmp_path, promise, norm):
    assert_two_processes_equal_one(eight_images(tmp_path), tmp_path, promise, norm, "cuda")
