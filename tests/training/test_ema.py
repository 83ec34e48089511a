"""The running average of the generators: what it is, that it is what a user gets, that it survives a stop."""

import pytest
import torch
from torch.testing import assert_close

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import Batch, CycleGAN, CycleGANConfig
from unpaired.models import PatchGANConfig, ResNetConfig
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

CFG = CycleGANConfig(
    generator=ResNetConfig(width=2, blocks=1), discriminator=PatchGANConfig(width=2, layers=1), history=2
)


def trainer(average: float) -> Trainer:
    torch.manual_seed(0)
    engine = Engine(RuntimeConfig(precision="fp32", device="cpu"))
    return Trainer(CycleGAN(CFG, (3, 3)), OptimConfig(steps=40, ema_decay=average), engine)


def images(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return tuple(torch.rand(1, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))


def weights(method: CycleGAN) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in method.G.parameters()])


@pytest.mark.slow
def test_the_average_follows_its_rule_and_leaves_training_alone():
    ema, plain = trainer(0.5), trainer(0)
    expected = weights(ema.method)
    for step in range(1, 6):
        ema.train_step(Batch(*images(step)))
        plain.train_step(Batch(*images(step)))
        decay = min(0.5, step / (step + 10))  # 1/11, 2/12, ... until it reaches what was asked for
        expected = decay * expected + (1 - decay) * weights(ema.method)
        assert_close(weights(ema.ema), expected)
    assert torch.equal(weights(ema.method), weights(plain.method))
    assert not torch.equal(weights(ema.ema), weights(ema.method))


def test_without_an_average_a_user_gets_the_trained_weights():
    plain = trainer(0)
    assert plain.ema is plain.method


@pytest.mark.slow
def test_the_average_is_part_of_the_state():
    whole = trainer(0.9)
    for step in range(6):
        whole.train_step(Batch(*images(step)))
        if step == 2:
            kept = {name: tensor.clone() for name, tensor in whole.state().items()}
    resumed = trainer(0.9)
    resumed.load(kept)
    for step in range(3, 6):
        resumed.train_step(Batch(*images(step)))
    assert torch.equal(weights(resumed.ema), weights(whole.ema))
    assert resumed.steps == whole.steps == 6
