"""Loaded state is placed as fresh state: the same device, dtype and memory layout for every tensor."""

import pytest
import torch

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import Batch, CycleGAN, CycleGANConfig
from unpaired.models import PatchGANConfig, ResNetConfig
from unpaired.training.adam import Adam, _in_memory_order
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

META = torch.device("meta")


def trainer(device=None):
    """Small networks with batch statistics, averages and histories; `device` stands for a card."""
    torch.manual_seed(0)
    config = CycleGANConfig(
        generator=ResNetConfig(width=4, blocks=1, norm="batch"), discriminator=PatchGANConfig(width=4), history=2
    )
    engine = Engine(RuntimeConfig(device="cpu", precision="fp32"))
    made = Trainer(CycleGAN(config, (3, 3)), OptimConfig(ema_decay=0.9), engine)
    if device is not None:
        engine.device = device
        for network in made._networks().values():
            network.to(device)
        networks = made.method.generators, made.method.discriminators
        for optimizer, trained in zip(made._optimizers().values(), networks, strict=True):
            optimizer.state.clear()
            optimizer.given = [p for network in trained.values() for p in network.parameters()]
            optimizer.param_groups[0]["params"] = [_in_memory_order(p.detach(), p) for p in optimizer.given]
            optimizer.create_state()
    return made


@pytest.fixture(scope="module")
def state():
    made = trainer()
    random = torch.Generator().manual_seed(0)
    for _ in range(3):
        x, y = torch.rand(2, 1, 3, 32, 32, generator=random) * 2 - 1
        made.train_step(Batch(x, y))
    return made.state()


def foreign(state):
    """As a file or another device gives it: contiguous, and of another precision."""
    return {
        key: value.double().contiguous() if value.is_floating_point() and "random" not in key else value.clone()
        for key, value in state.items()
    }


def places(made):
    return {key: (t.device, t.dtype, t.shape, t.stride()) for key, t in made._fixed_state().items()}


@pytest.mark.parametrize("device", [None, META])
def test_every_loaded_tensor_is_placed_as_the_code_that_makes_it_places_it(state, device):
    made = trainer(device)
    fresh = places(made)
    assert any(key.endswith("/step") for key in fresh) and any("/ema G/" in key for key in fresh)
    assert any("running_mean" in key for key in fresh) and any("num_batches" in key for key in fresh)
    made.load(foreign(state))
    assert places(made) == fresh
    for history in made.method.planned.values():
        assert len(history.images) == 2 and all(image.device == made.engine.device for image in history.images)
    assert made.steps == 3


def test_step_counters_of_a_fused_adam_are_on_its_parameters_device():
    made = trainer(META)
    assert all(t.device == META for key, t in made._fixed_state().items() if key.endswith("/step"))


@pytest.mark.parametrize("fused", [True, None])
def test_state_made_at_once_is_what_torch_makes_at_the_first_step(fused):
    weights = [torch.nn.Parameter(torch.rand(3, 4, 3, 3).contiguous(memory_format=torch.channels_last))]
    ours, theirs = Adam(weights, fused=fused), torch.optim.Adam(weights, fused=fused)
    ours.create_state()
    weights[0].grad = torch.zeros_like(weights[0])
    theirs.step()
    for key, value in theirs.state[weights[0]].items():
        made = ours.moments()[0][key]
        assert (made.device, made.dtype, made.stride()) == (value.device, value.dtype, value.stride()), key
        assert not made.any()


def test_averages_that_a_checkpoint_does_not_hold_start_from_the_trained_weights(state):
    made = trainer()
    made.load({key: value for key, value in state.items() if "/ema " not in key})
    for ours, trained in zip(made.ema.G.parameters(), made.method.G.parameters(), strict=True):
        assert torch.equal(ours, trained)


def test_state_of_other_networks_is_refused(state):
    made = trainer()
    with pytest.raises(LookupError, match=r"network/G/model\.99\.weight"):
        made.load(state | {"network/G/model.99.weight": torch.zeros(1)})
    name = "network/G/model.1.weight"
    with pytest.raises(ValueError, match=r"expected \(4, 3, 7, 7\), found \(1,\)"):
        made.load(state | {name: torch.zeros(1)})
