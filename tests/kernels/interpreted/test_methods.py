"""A step of every method with all its networks in Triton units, beside the step of the plain layers."""

from __future__ import annotations

import pytest

from tests.training.test_static_step import EVERY, SIDES, batches, put, trainer
from unpaired.models import kernels

pytestmark = pytest.mark.usefixtures("large_tiles")


@pytest.mark.parametrize("name", [name for name in EVERY if " " not in name])
def test_a_step_of_a_method_in_units_has_the_losses_of_the_plain_one(name, monkeypatch):
    losses = {}
    for backend in ("cuda", "none"):
        monkeypatch.setattr(kernels, "backend_of", lambda device, backend=backend: backend)
        made = trainer(None, EVERY[name], precision="fp32")
        (batch,) = batches(1, side=SIDES.get(name, 16), size=1)
        losses[backend] = {term: float(value) for term, value in made.train_step(put(made, batch)).items()}
        made.engine.check_pending()
    assert losses["cuda"] == pytest.approx(losses["none"], rel=1e-5)
