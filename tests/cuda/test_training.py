"""Training on a card: recorded steps, batches, determinism and several cards."""

from __future__ import annotations

import pytest
import torch

from tests.models.test_deterministic import assert_same_bits_twice
from tests.training.test_fast_step import images, trainer
from tests.training.test_feed import assert_fed, paired_data
from tests.training.test_processes import assert_two_processes_equal_one, eight_images
from unpaired.config import RuntimeConfig
from unpaired.methods import Batch


def test_recorded_steps_are_the_steps_as_written():
    """Generators, discriminators and histories, through a last smaller batch, and past a NaN that touches nothing."""
    written, recorded = (trainer(device="cuda") for _ in range(2))
    broken = torch.full_like(images()[0], float("nan"))
    for step in range(8):
        batch = images(32 if step != 5 else 48)
        for one in (written, recorded):
            terms = one.train_step(Batch(*map(one.engine.put, batch if step != 3 else (broken, broken))))
            one.engine.pending.waiting.clear() if step == 3 else one.engine.check_pending()
            one.last = {name: float(term) for name, term in terms.items()}
        if step != 3:
            assert recorded.last == pytest.approx(written.last, rel=1e-2)
    assert not recorded.broken()


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
