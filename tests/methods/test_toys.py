"""A task whose answer is known: X holds bright squares on dark ground, Y dark ones on bright, so that G(x) = -x.

Nine pixels in ten are ground, so no other map makes the one distribution of brightness into the other.
"""

import pytest
import torch
from torch import nn

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import (
    METHODS,
    BiGANConfig,
    CoGAN,
    CoGANConfig,
    CycleGANConfig,
    FeatureGANConfig,
    Pix2PixConfig,
    SimGANConfig,
    featuregan,
)
from unpaired.models import PatchGANConfig, PixelGANConfig, ResNetConfig
from unpaired.models.coupled import CoupledConfig
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

GRAY, SIZE, BATCH = (1, 1), 8, 8
CRITIC, OF_PATCHES = PixelGANConfig(width=8, norm="none"), PatchGANConfig(width=16, layers=1, norm="none")
SMALL = {"generator": ResNetConfig(width=2, blocks=0), "critic": CRITIC, "history": 0}
CONFIGS = [
    CycleGANConfig(**SMALL),
    BiGANConfig(**SMALL),
    SimGANConfig(**SMALL, content_weight=0.02),  # the input itself is what a translation must not stay
    FeatureGANConfig(**SMALL, feature_weight=1.0),
    Pix2PixConfig(**SMALL, l1_weight=1.0),
]


def squares(random, count=BATCH):
    """(count, 1, 8, 8): a 3 x 3 square of 0.6 somewhere on -0.6."""
    images = torch.full((count, 1, SIZE, SIZE), -0.6)
    for image, (top, left) in zip(images, torch.randint(SIZE - 3, (count, 2), generator=random), strict=True):
        image[:, top : top + 3, left : left + 3] = 0.6
    return images


class Recolour(nn.Sequential):
    """A map of colours alone."""

    multiple, least, per_image = 1, 1, True

    def __init__(self):
        super().__init__(nn.Conv2d(1, 8, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 1), nn.Tanh())


def trained(method, steps, paired, lr=0.01):
    trainer = Trainer(method, OptimConfig(lr=lr), Engine(RuntimeConfig(precision="fp32", device="cpu")))
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = squares(random)
        trainer.train_step(x, -x if paired else -squares(random))
    return {way: network.eval() for way, network in method.translators.items()}


@pytest.mark.parametrize("cfg", CONFIGS, ids=lambda cfg: cfg.name)
def test_every_method_learns_to_invert(cfg, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(featuregan, "load_features", lambda path, device: torch.abs)  # what inversion leaves as it is
    method = METHODS[cfg.name](cfg, GRAY)
    method.G, method.F = Recolour(), Recolour()
    x = squares(torch.Generator().manual_seed(1), 16)
    translators = trained(method, 150, paired=cfg.name == "pix2pix")
    with torch.no_grad():
        there, back = translators["AtoB"](x), translators["BtoA"](-x)
    for output, sign in ((there, 1), (back, -1)):
        contrast = output[x < 0].mean() - output[x > 0].mean()
        assert 0.4 < sign * contrast < 2.0  # 1.2 where inverted, -1.2 where copied, 0 where painted over
        assert 0 < sign * output[x < 0].mean()  # the ground


def test_cogan_finds_the_latent_of_an_image_and_renders_it_in_the_other_domain():
    torch.manual_seed(0)
    cfg = CoGANConfig(generator=CoupledConfig(width=16, halvings=2, latent=8), critic=OF_PATCHES)
    method = CoGAN(cfg, GRAY)
    x = squares(torch.Generator().manual_seed(1), 16)
    translators = trained(method, 150, paired=False, lr=0.002)
    with torch.no_grad():
        dark, bright = translators["BtoA"](-x), translators["AtoB"](x)
        again = method.G_X(method.G(method.E_X(x)))
    assert dark.mean() < -0.25 and bright.mean() > 0.25  # the means of X and Y are -0.43 and 0.43
    assert (again - x).abs().mean() < 0.3
