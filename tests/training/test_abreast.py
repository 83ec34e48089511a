"""Both directions at the same time: the bits of one after the other, and only where nothing can come between."""

from threading import current_thread, main_thread

import pytest
import torch

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.core import parallel
from unpaired.methods import BiGAN, BiGANConfig, CycleGAN, CycleGANConfig, Pix2Pix, Pix2PixConfig, SimGAN, SimGANConfig
from unpaired.methods import base as methods
from unpaired.models import PatchGANConfig, ResNetConfig, UNetConfig
from unpaired.training import optimizer_step as descent
from unpaired.training.engine import Engine
from unpaired.training.graphs import halves
from unpaired.training.processes import Processes
from unpaired.training.trainer import Trainer

SMALL = {"generator": ResNetConfig(width=8, blocks=2), "discriminator": PatchGANConfig(width=8), "history": 1}
IMAGES = (torch.rand(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1).unbind(1)
ONES = torch.ones(2, 1, 64, 64)
TILED = SMALL | {"generator": ResNetConfig(width=16, blocks=2)}
"""Wide enough for Winograd's tiles, whose room each thread has for itself."""
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
        made.train_step(
            made.engine.put(x[None].repeat(2, 1, 1, 1)), made.engine.put(y[None].repeat(2, 1, 1, 1)), **more
        )
    return [weight.detach().clone() for weight in made.method.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "bigan"])  # its two directions hang together
def test_two_threads_give_the_bits_of_one(name, precision, two_threads):
    together = trainer(METHODS[name], precision=precision)
    assert together.method.abreast
    expected = after_steps(together)
    torch.set_num_threads(1)
    alone = trainer(METHODS[name], precision=precision)
    assert not alone.method.abreast
    assert same(expected, after_steps(alone))


@pytest.mark.parametrize("more", [{"masks": (ONES, ONES)}, {"pairs": tuple(side[:1] for side in IMAGES)}])
@pytest.mark.parametrize("settings", [{}, {"accumulate": 2}, {"checkpoint_blocks": True}])
def test_it_makes_no_difference_which_half_is_first(settings, more, two_threads, monkeypatch):
    """As if threads were late: the second piece is done before the first."""

    def reversed_both(first, second):
        torch.set_num_threads(1)
        done = second()
        try:
            return first(), done
        finally:
            torch.set_num_threads(2)

    def runs():
        return after_steps(trainer(METHODS["identity"], **settings), **more)

    expected = runs()
    monkeypatch.setattr(methods, "both", reversed_both)
    monkeypatch.setattr(descent, "both", reversed_both)
    assert same(expected, runs())


def test_both_directions_are_followed_back_at_once_where_they_are_apart(two_threads, monkeypatch):
    taken = []
    monkeypatch.setattr(descent, "both", lambda *pieces: taken.append(1) or parallel.both(*pieces))
    after_steps(trainer(METHODS["identity"]))
    assert len(taken) == 2 * len(IMAGES[0])  # generators and discriminators
    taken.clear()
    after_steps(trainer(METHODS["bigan"]))
    assert not taken


def test_a_step_of_new_shapes_does_nothing_at_the_same_time(two_threads, monkeypatch):
    """Two threads that make the same convolution ready at once may sum in another order."""
    seen, made = [], trainer(METHODS["identity"])
    made.method.F.register_forward_pre_hook(lambda *_: seen.append(current_thread() is main_thread()))
    x, y = (side[:1] for side in IMAGES)
    for batch, alone in (((x, y), True), ((x, y), False), ((x[..., :32], y), True), ((x, y), False)):
        seen.clear()
        made.train_step(*(made.engine.put(each) for each in batch))
        assert all(seen) is alone


def test_halves_share_weights_and_nothing_else():
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    one, other, third = (a * b).exp(), (a * b).exp(), (b * 2).exp()
    of_one, of_both, still = one * 3, one * other, torch.zeros(1)
    assert halves([one, other]) == ([one], [other])
    assert halves([third, of_one, other]) == ([of_one], [third, other])
    assert halves([of_one, one]) == ([of_one, one], [])
    assert halves([of_one, other, of_both]) == ([other, of_one, of_both], [])
    assert halves([still, one]) == ([one, still], [])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pix2Pix(Pix2PixConfig(**SMALL | {"generator": UNetConfig(width=8, downs=6, dropout=True)}), (3, 3)),
        lambda: CycleGAN(
            CycleGANConfig(**SMALL | {"generator": ResNetConfig(width=8, blocks=1, norm="batch")}), (3, 3)
        ),
    ],
)
def test_dice_and_running_statistics_keep_passes_in_order(make, two_threads):
    assert not trainer(make).method.abreast


def test_exact_runs_and_several_processes_keep_passes_in_order(two_threads):
    make = METHODS["identity"]
    assert not trainer(make, precision="exact").method.abreast
    several = Processes()
    several.count = 2
    assert not trainer(make, processes=several).method.abreast
    assert not trainer(make, compile="on").method.abreast
    assert not trainer(make, threads=1).method.abreast


def test_no_thread_finds_weights_that_another_rounded():
    with trainer(METHODS["identity"], precision="bf16").engine.precision():
        assert not torch.is_autocast_cache_enabled()


def test_the_line_at_the_start_says_so(two_threads):
    assert "2 threads in two halves, fp32" in trainer(METHODS["identity"]).engine.describe()
