"""A step from fixed addresses, recorded and replayed, equals the step as written: losses, weights, histories.

A CUDA graph repeats the operations of one step on the memory that they used. `Tape` does the same on a CPU: whatever
a step would take from the host, but for the tensors that it copies in, would be repeated and show here.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.config.networks import CoupledConfig
from unpaired.methods import (
    CUT,
    METHODS,
    Batch,
    BiGAN,
    BiGANConfig,
    CoGAN,
    CoGANConfig,
    CUTConfig,
    CycleGAN,
    CycleGANConfig,
    FeatureGAN,
    FeatureGANConfig,
    Pix2Pix,
    Pix2PixConfig,
    SimGAN,
    SimGANConfig,
)
from unpaired.models import PatchGANConfig, ResNetConfig, UNetConfig
from unpaired.training.engine import Engine
from unpaired.training.graphs import WARM_UP, StaticSteps
from unpaired.training.optimizer_step import NotFinite, PendingChecks
from unpaired.training.trainer import Trainer

STEPS = 20


class Tape(TorchDispatchMode):
    """Records every operation with its tensors."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        assert func is not torch.ops.aten._local_scalar_dense.default, "the step reads a value from the device"
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, out in self.calls:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def record_on_tape(work):
    """Unlike a CUDA graph's, this recording computes; so the first call has nothing left to do."""
    tape, replays = Tape(), []
    with tape:
        result = work()

    def again():
        if replays:
            tape.replay()
        replays.append(result)
        return result

    again.replays = replays
    return again


def trainer(
    record=None,
    make=None,
    accumulate=1,
    warmup=0,
    precision="fp32",
    pending=True,
    checkpointed=False,
    device="cpu",
    graphs=True,
):
    torch.manual_seed(0)
    config = CycleGANConfig(
        generator=ResNetConfig(width=4, blocks=1),
        discriminator=PatchGANConfig(width=4, layers=2),
        identity_weight=5.0,
        history=3,
    )
    method = make() if make else CycleGAN(config, (3, 3))
    engine = Engine(
        RuntimeConfig(device=device, precision=precision, threads=1, checkpoint_blocks=checkpointed, cuda_graphs=graphs)
    )
    engine.pending = PendingChecks() if pending else None
    made = Trainer(method, OptimConfig(ema_decay=0.9, accumulate=accumulate, discriminator_warmup=warmup), engine)
    if engine.fast:
        for optimizer in made._optimizers().values():
            optimizer.make_capturable()
    if record is not None:
        made._run = StaticSteps(made._compute, record)
    return made


def batches(count, side=16, size=2, **more):
    random = torch.Generator().manual_seed(1)
    for _ in range(count):
        x, y = torch.rand(2, size, 3, side, side, generator=random) * 2 - 1
        yield Batch(x, y, **more)


def put(made, batch):
    place = made.engine.put
    pairs = tuple(map(place, batch.pairs)) if batch.pairs else None
    return Batch(place(batch.x), place(batch.y), batch.masks, pairs, batch.weight)


def assert_same_state(one, other):
    for (name, ours), theirs in zip(one.state().items(), other.state().values(), strict=True):
        if "random/" not in name or "history" in name:
            assert torch.equal(ours, theirs), name


def assert_same_steps(plain, static, given):
    for step, batch in enumerate(given):
        found = []
        for made in (plain, static):
            made.set_lr(1 / (1 + step))
            torch.manual_seed(step)  # of the noise that a step draws on the device
            found.append(made.train_step(put(made, batch)))
        expected, losses = found
        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(losses[name], value), f"{name} at step {step}"
    assert_same_state(plain, static)


MASKS = (torch.ones(2, 1, 16, 16), torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(2)))
PAIRS = tuple(torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(3)).unbind())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_twenty_recorded_steps_equal_the_steps_as_written(precision):
    """Losses, weights, moments, averages and histories, with a learning rate that falls at each step."""
    static = trainer(record_on_tape, precision=precision)
    assert_same_steps(trainer(precision=precision), static, batches(STEPS))
    assert len(static._run.again.replays) == STEPS - WARM_UP


@pytest.mark.parametrize(
    ("settings", "more"),
    [({"accumulate": 2}, {}), ({}, {"masks": MASKS}), ({}, {"pairs": PAIRS}), ({}, {"weight": 0.5})],
)
def test_parts_masks_pairs_and_weights_are_recorded_too(settings, more):
    assert_same_steps(trainer(**settings), trainer(record_on_tape, **settings), batches(8, **more))


def test_a_trainer_that_reads_at_once_and_one_that_reads_later_take_the_same_steps():
    assert_same_steps(trainer(pending=False), trainer(record_on_tape), batches(8))


@pytest.mark.parametrize(("size", "other"), [(2, {"size": 1}), (1, {"size": 1, "side": 24})])
def test_steps_of_another_shape_run_as_written_and_the_recording_still_serves(size, other):
    """Smaller batches, as the last of an epoch; and images of 24 px, which some slots of the histories then hold."""
    given = list(batches(24, size=size))
    for k in (7, 11, 15):
        given[k] = next(batches(1, **other))
    static = trainer(record_on_tape)
    assert_same_steps(trainer(), static, given)
    assert 24 - WARM_UP - 3 >= len(static._run.again.replays) > 5


def test_the_end_of_the_warm_up_of_the_discriminators_is_recorded_anew():
    assert_same_steps(trainer(warmup=6), trainer(record_on_tape, warmup=6), batches(14))


def test_a_resumed_run_is_recorded_again_and_equals_an_uninterrupted_one():
    whole, first, second = trainer(), trainer(record_on_tape), trainer(record_on_tape)
    given = list(batches(16))
    for batch in given[:8]:
        whole.train_step(put(whole, batch))
        first.train_step(put(first, batch))
    second.load({name: value.clone() for name, value in first.state().items()})
    assert_same_steps(whole, second, given[8:])


def test_a_state_loaded_into_a_recorded_trainer_is_used():
    plain, static = trainer(), trainer(record_on_tape)
    given = list(batches(12))
    for batch in given[:6]:
        static.train_step(put(static, batch))
    static.load({name: value.clone() for name, value in plain.state().items()})
    assert_same_steps(plain, static, given[6:])


def test_a_nan_in_a_recorded_step_touches_nothing_and_is_reported_with_its_losses():
    static = trainer(record_on_tape)
    given = list(batches(8))
    given[6].x[0, 0, 0, 0] = float("nan")
    for batch in given[:6]:
        static.train_step(put(static, batch))
    before = {name: value.clone() for name, value in static._fixed_state().items() if "ema" not in name}
    static.train_step(put(static, given[6]))
    assert all(torch.equal(before[name], static._fixed_state()[name]) for name in before)
    with pytest.raises(NotFinite) as caught:
        static.train_step(put(static, given[7]))
    assert (caught.value.step, caught.value.networks) == (7, "generators") and "cycle/G" in caught.value.broken


def small(kind, config, **settings):
    """Makes a method of small networks, by the published choice of generator or another one."""
    networks = {"discriminator": PatchGANConfig(width=4, layers=1)} | settings
    return lambda: kind(config(**networks), (3, 3))


RESNET, DROPPED = ResNetConfig(width=2, blocks=1), ResNetConfig(width=2, blocks=1, dropout=True)
UNET = UNetConfig(width=2, downs=6, norm="batch", dropout=True)
AUGMENT = "colour,translation,cutout"
EVERY = {
    "cyclegan": small(CycleGAN, CycleGANConfig, generator=RESNET, history=3, identity_weight=5.0),
    "cogan": small(CoGAN, CoGANConfig, generator=CoupledConfig(width=4, halvings=2, latent=8)),
    "bigan": small(BiGAN, BiGANConfig, generator=RESNET, history=3),
    "simgan": small(SimGAN, SimGANConfig, generator=RESNET, history=3),
    "featuregan": small(FeatureGAN, FeatureGANConfig, generator=RESNET, history=3),
    "pix2pix": small(Pix2Pix, Pix2PixConfig, generator=UNET, history=3),
    "cut": small(CUT, CUTConfig, generator=RESNET, patches=8),
    "fastcut": small(CUT, CUTConfig, generator=RESNET, patches=8, identity=False, flip_equivariance=True),
    "cut with dropout": small(CUT, CUTConfig, generator=DROPPED, patches=8),
    "cyclegan with augmentation": small(CycleGAN, CycleGANConfig, generator=RESNET, history=3, augment=AUGMENT),
    "cut with augmentation": small(CUT, CUTConfig, generator=RESNET, patches=8, augment=AUGMENT),
}
PENALISED = {"cyclegan with r1": small(CycleGAN, CycleGANConfig, generator=RESNET, history=3, r1_weight=1.0)}
SIDES = {"pix2pix": 64}
"""Of the images; 16 px elsewhere."""


def test_every_method_is_here():
    assert {name.partition(" ")[0] for name in EVERY} - {"fastcut"} == set(METHODS)


@pytest.mark.parametrize("name", EVERY)
def test_twenty_recorded_steps_of_every_method_equal_the_steps_as_written(name):
    """With histories, averages, two parts a step, dropout, batch statistics and choices made on the host."""
    side = SIDES.get(name, 16)
    plain, static = (trainer(record, EVERY[name], accumulate=2) for record in (None, record_on_tape))
    steps = 8 if name == "featuregan" else STEPS  # whose pretrained network takes most of the time
    assert_same_steps(plain, static, batches(steps, side=side))
    assert len(static._run.again.replays) >= steps - WARM_UP - 1


@pytest.mark.parametrize("name", ["fastcut", "cut with dropout"])
def test_steps_of_another_shape_between_recorded_ones_change_no_choice(name):
    given = list(batches(14))
    given[7] = next(batches(1, size=1))
    given[10] = next(batches(1, side=24))
    plain, static = (trainer(record, EVERY[name]) for record in (None, record_on_tape))
    assert_same_steps(plain, static, given)
    assert len(static._run.again.replays) > 5


@pytest.mark.parametrize("name", ["cut", "fastcut", "cyclegan with augmentation", "cut with augmentation", *PENALISED])
def test_a_resumed_run_makes_the_choices_of_an_uninterrupted_one(name):
    whole, first, second = (
        trainer(record, (EVERY | PENALISED)[name]) for record in (None, record_on_tape, record_on_tape)
    )
    given = list(batches(12))
    assert_same_steps(whole, first, given[:6])
    second.load({key: value.clone() for key, value in first.state().items()})
    assert_same_steps(whole, second, given[6:])


def test_a_checkpointed_block_with_dropout_is_recorded_and_keeps_its_bits():
    make = small(CycleGAN, CycleGANConfig, generator=DROPPED, history=3)
    plain = trainer(None, make)
    assert_same_steps(plain, trainer(record_on_tape, make, checkpointed=True), batches(8))


def test_independent_random_numbers_are_drawn_in_every_replay():
    def make():
        return CoGAN(CoGANConfig(discriminator=PatchGANConfig(width=4, layers=1, norm="none")), (3, 3))

    static = trainer(record_on_tape, make)
    seen = [float(static.train_step(put(static, batch))["gan/X"]) for batch in [next(batches(1, side=32))] * 6]
    assert len(set(seen)) == 6


@pytest.mark.parametrize("precision", ["fp32", "exact"])
def test_without_recording_the_buffers_serve_as_well(precision):
    assert_same_steps(
        *(trainer(record, precision=precision, pending=False) for record in (None, lambda work: work)), batches(8)
    )


def test_a_step_that_cannot_be_recorded_gets_the_memory_of_the_recorded_one_where_that_is_short():
    for crowded in (False, True):
        made = trainer(record_on_tape)
        made._run.crowded = lambda crowded=crowded: crowded
        for batch in batches(WARM_UP + 2):
            made.train_step(put(made, batch))
        assert made._run.again is not None
        made.train_step(put(made, next(batches(1, size=1))))
        assert (made._run.again is None) == crowded
        for batch in batches(WARM_UP + 2):
            made.train_step(put(made, batch))
        assert made._run.again is not None
