"""Independent losses at the same time: the bits of one after the other, and only where their order cannot show."""

from threading import current_thread, main_thread

import pytest
import torch

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import (
    Batch,
    BiGAN,
    BiGANConfig,
    CycleGAN,
    CycleGANConfig,
    Pix2Pix,
    Pix2PixConfig,
    SimGAN,
    SimGANConfig,
)
from unpaired.models import PatchGANConfig, ResNetConfig, UNetConfig
from unpaired.training import engine as engines
from unpaired.training.concurrency import run_on_threads
from unpaired.training.engine import Engine
from unpaired.training.processes import Processes
from unpaired.training.trainer import Trainer

SMALL = {"generator": ResNetConfig(width=8, blocks=2), "discriminator": PatchGANConfig(width=8), "history": 1}
IMAGES = (torch.rand(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1).unbind(1)
ONES = torch.ones(2, 1, 64, 64)
TILED = SMALL | {"generator": ResNetConfig(width=16, blocks=2)}
"""Wide enough for Winograd's tiles, whose workspace each thread has for itself."""
METHODS = {
    "tiles": lambda: CycleGAN(CycleGANConfig(**TILED), (3, 3)),
    "identity": lambda: CycleGAN(CycleGANConfig(**SMALL, identity_weight=5.0), (3, 3)),
    "no identity": lambda: CycleGAN(CycleGANConfig(**SMALL), (3, 3)),
    "forward cycle": lambda: CycleGAN(CycleGANConfig(**SMALL, backward_cycle_weight=0.0), (3, 3)),
    "simgan": lambda: SimGAN(SimGANConfig(**SMALL), (3, 3)),
    "pix2pix": lambda: Pix2Pix(Pix2PixConfig(**SMALL), (3, 3)),
    "bigan": lambda: BiGAN(BiGANConfig(**SMALL), (3, 3)),
}


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def trainer(make, accumulate=1, processes=None, **runtime):
    torch.manual_seed(0)
    engine = Engine(RuntimeConfig(**{"device": "cpu", "precision": "fp32"} | runtime))
    engine.processes = processes or engine.processes
    return Trainer(make(), OptimConfig(accumulate=accumulate), engine)


def after_steps(made, **more):
    for x, y in zip(*IMAGES, strict=True):
        x, y = (made.engine.put(each[None].repeat(2, 1, 1, 1)) for each in (x, y))
        made.train_step(Batch(x, y, **more))
    return [weight.detach().clone() for weight in made.method.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_two_threads_give_the_bits_of_one(name, precision, two_threads):
    together = trainer(METHODS[name], precision=precision)
    assert together.engine.concurrent
    expected = after_steps(together)
    torch.set_num_threads(1)
    alone = trainer(METHODS[name], precision=precision)
    assert not alone.engine.concurrent
    assert same(expected, after_steps(alone))


@pytest.mark.parametrize("more", [{"masks": (ONES, ONES)}, {"pairs": tuple(side[:1] for side in IMAGES)}])
@pytest.mark.parametrize("settings", [{}, {"accumulate": 2}, {"checkpoint_blocks": True}])
def test_it_makes_no_difference_which_task_is_first(settings, more, two_threads, monkeypatch):
    """As if threads were late: the second task ends before the first begins."""

    def reversed_tasks(tasks):
        torch.set_num_threads(1)
        try:
            return [task() for task in reversed(tasks)][::-1]
        finally:
            torch.set_num_threads(2)

    def runs():
        return after_steps(trainer(METHODS["identity"], **settings), **more)

    expected = runs()
    for name in ("run_on_threads", "run_in_halves"):
        monkeypatch.setattr(engines, name, reversed_tasks)
    assert same(expected, runs())


def test_independent_losses_run_at_once_and_those_that_hang_together_as_one(two_threads, monkeypatch):
    taken = []
    monkeypatch.setattr(engines, "run_on_threads", lambda tasks: taken.append(len(tasks)) or run_on_threads(tasks))
    after_steps(trainer(METHODS["identity"]))
    steps = len(IMAGES[0]) - 1  # the first is of new shapes
    assert taken == [2, 2] * steps  # generators and discriminators
    taken.clear()
    after_steps(trainer(METHODS["bigan"]))
    assert taken == [1, 1] * steps


def test_a_step_of_new_shapes_does_nothing_at_the_same_time(two_threads):
    """Two threads that prepare the same convolution at once may sum in another order."""
    seen, made = [], trainer(METHODS["identity"])
    made.method.F.register_forward_pre_hook(lambda *_: seen.append(current_thread() is main_thread()))
    x, y = (side[:1] for side in IMAGES)
    for batch, alone in (((x, y), True), ((x, y), False), ((x[..., :32], y), True), ((x, y), False)):
        seen.clear()
        made.train_step(Batch(*(made.engine.put(each) for each in batch)))
        assert all(seen) is alone


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pix2Pix(Pix2PixConfig(**SMALL | {"generator": UNetConfig(width=8, downs=6, dropout=True)}), (3, 3)),
        lambda: CycleGAN(
            CycleGANConfig(**SMALL | {"generator": ResNetConfig(width=8, blocks=1, norm="batch")}), (3, 3)
        ),
    ],
)
def test_dropout_and_running_statistics_keep_passes_in_order(make, two_threads):
    assert not trainer(make).engine.concurrent


def test_exact_runs_and_several_processes_keep_passes_in_order(two_threads):
    make = METHODS["identity"]
    assert not trainer(make, precision="exact").engine.concurrent
    several = Processes()
    several.count = 2
    assert not trainer(make, processes=several).engine.concurrent
    assert not trainer(make, threads=1).engine.concurrent


def test_no_thread_finds_weights_that_another_rounded():
    with trainer(METHODS["identity"], precision="bf16").engine.precision():
        assert not torch.is_autocast_cache_enabled()


def test_the_line_at_the_start_says_so(two_threads):
    assert "2 threads in two halves, fp32" in trainer(METHODS["identity"]).engine.describe()
