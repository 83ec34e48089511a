"""Nothing that is not finite touches a weight, and the message says what it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data_sets import make_data, tiny
from unpaired.checkpoints.run_state import load_state
from unpaired.core.errors import BadInput
from unpaired.experiment import build_method
from unpaired.methods import Batch
from unpaired.training import train
from unpaired.training.engine import Engine
from unpaired.training.optimizer_step import NotFinite, PendingChecks
from unpaired.training.trainer import Trainer

pytestmark = pytest.mark.promise("finite numbers")


def fresh(tmp_path, **settings):
    experiment = tiny(tmp_path, **settings)
    torch.manual_seed(0)
    return Trainer(build_method(experiment), experiment.optim, Engine(experiment.runtime))


def images(seed):
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(2, 1, 3, 16, 16, generator=random) * 2 - 1).unbind()


def weights(trainer):
    return [parameter.detach().clone() for parameter in trainer.method.parameters()]


def unchanged(trainer, before):
    return all(torch.equal(one, other) for one, other in zip(trainer.method.parameters(), before, strict=True))


def spoil_gradient(trainer, value):
    """A gradient of a generator, and no term, becomes `value`."""
    next(iter(trainer.method.G.parameters())).register_hook(lambda gradient: torch.full_like(gradient, value))


@pytest.mark.parametrize("precision", ["exact", "fp32", "bf16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_image_stops_before_any_weight_is_touched_and_names_the_terms(tmp_path, value, precision):
    trainer = fresh(tmp_path, runtime__precision=precision)
    trainer.train_step(Batch(*images(0)))
    before, (x, y) = weights(trainer), images(1)
    x[0, 1, 3, 4] = value
    with pytest.raises(NotFinite) as caught:
        trainer.train_step(Batch(x, y))
    assert unchanged(trainer, before)
    assert caught.value.step == 2 and "cycle/G" in caught.value.broken and caught.value.networks == "generators"


def test_a_bad_gradient_of_finite_terms_stops_too(tmp_path):
    trainer = fresh(tmp_path)
    before = weights(trainer)
    spoil_gradient(trainer, float("inf"))
    with pytest.raises(NotFinite) as caught:
        trainer.train_step(Batch(*images(0)))
    assert unchanged(trainer, before) and caught.value.broken == [] and caught.value.networks == "generators"


def test_a_bad_gradient_of_the_cycle_alone_is_of_the_generators(tmp_path):
    settings = {f"method__{name}_weight": 0.0 for name in ("gan", "identity")}
    trainer = fresh(tmp_path, **settings)
    spoil_gradient(trainer, float("nan"))
    with pytest.raises(NotFinite) as caught:
        trainer.train_step(Batch(*images(0)))
    assert caught.value.broken == [] and caught.value.networks == "generators"


def test_a_bad_term_whose_gradients_are_finite_stops_too(tmp_path, monkeypatch):
    trainer = fresh(tmp_path)
    before, plain = weights(trainer), trainer.method.generator_losses

    def generator_losses(batch):
        return [*plain(batch), lambda: ({"mine": torch.tensor(float("nan"), requires_grad=True)}, {})]

    monkeypatch.setattr(trainer.method, "generator_losses", generator_losses)
    with pytest.raises(NotFinite) as caught:
        trainer.train_step(Batch(*images(0)))
    assert unchanged(trainer, before) and caught.value.broken == ["mine"]


def test_a_bad_discriminator_leaves_the_discriminators_alone(tmp_path):
    trainer = fresh(tmp_path)
    before = [parameter.detach().clone() for parameter in trainer.method.D_X.parameters()]
    next(iter(trainer.method.D_Y.parameters())).register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(NotFinite) as caught:
        trainer.train_step(Batch(*images(0)))
    assert caught.value.networks == "discriminators"
    assert all(torch.equal(p, b) for p, b in zip(trainer.method.D_X.parameters(), before, strict=True))


def test_where_asking_the_device_would_wait_the_optimiser_itself_leaves_the_weights_alone(tmp_path):
    """The way of CUDA, on the CPU's fused Adam: the step goes through, untouched, and the next one tells."""
    trainer = fresh(tmp_path)
    trainer.engine.pending = PendingChecks()
    trainer.train_step(Batch(*images(0)))
    before = weights(trainer)
    moments = {key: value.clone() for key, value in trainer.state().items() if key.startswith("optimizer/generators")}
    x, y = images(1)
    x[0, 0, 0, 0] = float("nan")
    trainer.train_step(Batch(x, y))
    assert unchanged(trainer, before)
    after = trainer.state()
    assert all(torch.equal(value, after[key]) for key, value in moments.items())
    with pytest.raises(NotFinite) as caught:
        trainer.train_step(Batch(*images(2)))
    assert caught.value.step == 2 and "gan/G" in caught.value.broken


def test_both_ways_take_the_same_steps(tmp_path):
    one, other = fresh(tmp_path), fresh(tmp_path)
    other.engine.pending = PendingChecks()
    for step in range(3):
        one.train_step(Batch(*images(step)))
        other.train_step(Batch(*images(step)))
    assert unchanged(other, weights(one))


def test_the_message_names_step_terms_and_files_and_no_bad_number_is_saved(tmp_path):
    """A float image that gets a NaN while the run goes on."""
    data = make_data(tmp_path / "data", a=1, b=3)
    values = np.full((36, 40), 0.5, np.float32)
    (data / "trainA/00.png").unlink()
    Image.fromarray(values).save(data / "trainA/here.tiff")
    settings = {"data__channels_a": 1, "method__identity_weight": 0, "data__cache_gb": 0, "data__preprocess": "crop"}
    run = tmp_path / "run"
    train(tiny(data, **settings, optim__steps=2), run)
    values[:] = np.nan
    Image.fromarray(values).save(data / "trainA/here.tiff")
    with pytest.raises(BadInput) as caught:
        train(tiny(data, **settings, optim__steps=4), run, allow_config_change=True)
    message = str(caught.value)
    assert "here.tiff" in message and "\n" not in message
    state = load_state(run)[0]
    assert state.step == 2 and all(v.isfinite().all() for k, v in state.tensors.items() if k.startswith("network/"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_blank_images_train_finite(tmp_path, precision):
    data = make_data(tmp_path / "data")
    for k, path in enumerate(sorted(data.glob("train?/*.png"))):
        Image.new("RGB", (40, 36), (17 * k,) * 3).save(path)
    run = train(tiny(data, optim__steps=40, runtime__save_every=100, runtime__precision=precision), tmp_path / "run")
    state = load_state(run)[0]
    assert all(value.isfinite().all() for key, value in state.tensors.items() if "random" not in key)


def test_weights_that_overflow_in_the_last_update_are_not_saved(tmp_path):
    data = make_data(tmp_path / "data")
    with pytest.raises(BadInput, match=r"after step 1 the weights of .*G.* are not finite"):
        train(tiny(data, optim__lr=3e38, optim__beta1=0.0, optim__steps=1), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()
