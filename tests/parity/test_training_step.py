"""The real trainer against the plain reference: the same losses and the same weights, step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from unpaired.bench.plain_cyclegan import PlainCycleGAN
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import Batch, CycleGAN, CycleGANConfig, History
from unpaired.models import PatchGANConfig, ResNetConfig
from unpaired.training.adam import Adam, _in_shape
from unpaired.training.engine import Engine
from unpaired.training.schedule import Schedule
from unpaired.training.trainer import Trainer

STEPS, SIZE, WIDTH, BLOCKS, DISCRIMINATOR_WIDTH = 20, 32, 8, 2, 8


class SameDice:
    """numpy's interface, which the plain pool uses, over the random numbers that `History` draws."""

    def __init__(self, history: History, seed: int) -> None:
        history.random.manual_seed(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def random(self) -> float:
        return float(torch.rand((), generator=self.generator))

    def integers(self, size: int) -> int:
        return int(torch.randint(size, (), generator=self.generator))


def pair(
    history_size: int, precision: str = "exact", width: int = WIDTH, identity: float = 5.0
) -> tuple[PlainCycleGAN, Trainer]:
    plain = PlainCycleGAN(width, BLOCKS, seed=3, discriminator_width=DISCRIMINATOR_WIDTH, identity=identity)
    cfg = CycleGANConfig(
        generator=ResNetConfig(width=width, blocks=BLOCKS),
        discriminator=PatchGANConfig(width=DISCRIMINATOR_WIDTH),
        identity_weight=identity,
        history=history_size,
    )
    method = CycleGAN(cfg, (3, 3))
    for ours, theirs in ((method.G, plain.G), (method.F, plain.F), (method.D_X, plain.D_X), (method.D_Y, plain.D_Y)):
        ours.model.load_state_dict(theirs.state_dict())
    for pool, history, seed in ((plain.pool_x, method.past_x, 1), (plain.pool_y, method.past_y, 2)):
        pool.size, pool.rng = history_size, SameDice(history, seed)
    optim = OptimConfig(steps=STEPS)
    return plain, Trainer(method, optim, Engine(RuntimeConfig(precision=precision, device="cpu")))


@pytest.mark.parametrize(("history_size", "batch", "identity"), [(50, 1, 5.0), (4, 1, 0.0), (3, 2, 5.0)])
def test_exact_equals_the_official_step_bit_for_bit_for_twenty_steps(history_size, batch, identity):
    """With a history of 4 or 3 its exchanges take place, too."""
    plain, trainer = pair(history_size, identity=identity)
    schedule = Schedule(trainer.optim, steps_per_epoch=1)
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        x, y = (torch.from_numpy(rng.uniform(-1, 1, (batch, 3, SIZE, SIZE)).astype(np.float32)) for _ in range(2))
        plain.set_lr(2e-4 * (1 - max(0, step + 1 - STEPS // 2) / (STEPS // 2 + 1)))
        trainer.set_lr(schedule.factor(step))
        expected = plain.step(x, y)
        losses = trainer.train_step(Batch(x, y))
        assert set(losses) == set(expected)
        for name, value in expected.items():
            assert float(losses[name]) == pytest.approx(value, rel=1e-6), f"{name} at step {step}"
    method = trainer.method
    for ours, theirs in ((method.G, plain.G), (method.F, plain.F), (method.D_X, plain.D_X), (method.D_Y, plain.D_Y)):
        for (name, weight), other in zip(ours.model.named_parameters(), theirs.parameters(), strict=True):
            assert torch.equal(weight, other), name


def double(plain: PlainCycleGAN, trainer: Trainer) -> None:
    for network in (plain.G, plain.F, plain.D_X, plain.D_Y, trainer.method):
        network.double()
    trainer.generator_optimizer = trainer._adam(trainer.method.generators, 2e-4)
    trainer.discriminator_optimizer = trainer._adam(trainer.method.discriminators, 2e-4)


def images(rng: np.random.Generator, dtype: type, size: int = SIZE) -> list[torch.Tensor]:
    return [torch.from_numpy(rng.uniform(-1, 1, (1, 3, size, size)).astype(dtype)) for _ in range(2)]


def compared(plain: PlainCycleGAN, trainer: Trainer, of: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
    """Relative distance of every weight or gradient; biases in front of a norm, whose gradient is rounding, apart."""
    method, found = trainer.method, {}
    for name, ours, theirs in (
        ("G", method.G, plain.G),
        ("F", method.F, plain.F),
        ("D_X", method.D_X, plain.D_X),
        ("D_Y", method.D_Y, plain.D_Y),
    ):
        for (key, weight), other in zip(ours.model.named_parameters(), theirs.parameters(), strict=True):
            if key.endswith("weight"):
                distance = (of(weight) - of(other)).norm() / of(other).norm().clamp_min(1e-12)
                found[f"{name}.{key}"] = float(distance.detach())
    return found


def gradients(optimizer: Adam) -> dict[torch.Tensor, torch.Tensor]:
    return {p: _in_shape(view.grad, p) for p, view in zip(optimizer.given, optimizer.views, strict=True)}


@pytest.mark.parametrize(("width", "size", "seed"), [(8, 32, 0), (16, 64, 2)])
def test_in_fp32_terms_and_gradients_of_one_step_equal_the_reference_to_1e_5(width, size, seed):
    """The second is wide and large enough for Winograd's tiles.

    A value within rounding of zero may fall on the other side of a ReLU, and 1e-3 of the gradient with it: in these
    batches none does.
    """
    plain, trainer = pair(50, "fp32", width)
    followed = {}
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        optimizer.register_step_pre_hook(lambda adam, *_: followed.update(gradients(adam)))
    x, y = images(np.random.default_rng(seed), np.float32, size)
    expected, terms = plain.step(x, y), trainer.train_step(Batch(trainer.engine.put(x), trainer.engine.put(y)))
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-5), name
    distances = compared(plain, trainer, lambda weight: followed.get(weight, weight.grad))
    assert max(distances.values()) <= 1e-5, max(distances, key=distances.get)


def test_the_fast_step_is_the_reference_for_twenty_steps_where_rounding_does_not_show():
    plain, trainer = pair(4, "fp32", width=16)
    double(plain, trainer)
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        x, y = images(rng, np.float64, 64)
        expected, terms = plain.step(x, y), trainer.train_step(Batch(trainer.engine.put(x), trainer.engine.put(y)))
        for name, value in expected.items():
            assert float(terms[name]) == pytest.approx(value, rel=1e-7), f"{name} at step {step}"
    assert max(compared(plain, trainer, lambda weight: weight).values()) <= 1e-6
