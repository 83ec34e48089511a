"""Tasks whose answers are known: X holds bright squares on dark ground, Y the same in other colours.

Six pixels in seven are ground, so only one map of colours makes the one distribution into the other.
"""

import pytest
import torch
from torch import nn

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.config.networks import CoupledConfig
from unpaired.methods import (
    METHODS,
    Batch,
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
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

GRAY, SIZE, BATCH = (1, 1), 8, 8
DISCRIMINATOR, OF_PATCHES = PixelGANConfig(width=8, norm="none"), PatchGANConfig(width=16, layers=1, norm="none")
SMALL = {"generator": ResNetConfig(width=2, blocks=0), "discriminator": DISCRIMINATOR, "history": 0}
INVERTING = [
    (CycleGANConfig(**SMALL), 150),
    (BiGANConfig(**SMALL), 500),
    (Pix2PixConfig(**SMALL, l1_weight=1.0), 150),
]
STAYING = [(SimGANConfig(**SMALL, content_weight=0.2), 300), (FeatureGANConfig(**SMALL, feature_weight=0.1), 300)]


def squares(random, count=BATCH):
    """(count, 1, 8, 8): a 3 x 3 square of 0.6 somewhere on -0.6."""
    images = torch.full((count, 1, SIZE, SIZE), -0.6)
    for image, (top, left) in zip(images, torch.randint(SIZE - 3, (count, 2), generator=random), strict=True):
        image[:, top : top + 3, left : left + 3] = 0.6
    return images


class Recolour(nn.Sequential):
    """A map of colours alone."""

    size_multiple, min_size, batch_independent = 1, 1, True

    def __init__(self):
        super().__init__(nn.Conv2d(1, 8, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 1), nn.Tanh())


def trained(method, steps, to_y, lr=0.01, paired=False):
    """The method's translators after so many steps on X and on `to_y` of other images, or of the same if paired."""
    trainer = Trainer(method, OptimConfig(lr=lr), Engine(RuntimeConfig(precision="fp32", device="cpu")))
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = squares(random)
        trainer.train_step(Batch(x, to_y(x if paired else squares(random))))
    return {way: network.eval() for way, network in method.translators.items()}


def outputs(cfg, steps, to_y):
    """Ground and square of G(x) and of F(y), means over pixels, and the same of what they should be."""
    torch.manual_seed(0)
    method = METHODS[cfg.name](cfg, GRAY)
    method.G, method.F = Recolour(), Recolour()
    translators = trained(method, steps, to_y, paired=cfg.name == "pix2pix")
    x = squares(torch.Generator().manual_seed(1), 16)
    with torch.no_grad():
        pairs = [(translators["AtoB"](x), to_y(x)), (translators["BtoA"](to_y(x)), x)]
    return [tuple(float(images[where].mean()) for where in (x < 0, x > 0)) for pair in pairs for images in pair]


@pytest.mark.slow
@pytest.mark.parametrize(("cfg", "steps"), INVERTING, ids=lambda value: getattr(value, "name", ""))
def test_what_knows_only_how_both_domains_look_learns_to_invert(cfg, steps):
    there, _, back, _ = outputs(cfg, steps, torch.neg)
    for (ground, square), sign in ((there, 1), (back, -1)):
        assert 0.3 < sign * ground < 0.9  # 0.6 if inverted, -0.6 if copied
        assert 0.4 < sign * (ground - square) < 2.0  # 1.2 if inverted, 0 if painted over


@pytest.mark.slow
@pytest.mark.parametrize(("cfg", "steps"), STAYING, ids=lambda value: getattr(value, "name", ""))
def test_what_must_stay_near_its_input_changes_no_more_than_the_domain_asks(cfg, steps, monkeypatch):
    """Y is X with half the contrast, and brighter: 0 and 0.6 for -0.6 and 0.6."""
    monkeypatch.setattr(featuregan, "load_content", lambda path, device: lambda images: 2 * images)
    (ground, square), truth, _, _ = outputs(cfg, steps, lambda x: x / 2 + 0.3)
    assert truth == pytest.approx((0.0, 0.6))
    assert abs(ground) < 0.25  # -0.6 if copied
    assert 0.25 < square - ground < 0.95  # 0.6 as asked, 1.2 if copied, 0 if painted over


@pytest.mark.slow
def test_cogan_finds_the_latent_of_an_image_and_renders_it_in_the_other_domain():
    torch.manual_seed(0)
    cfg = CoGANConfig(generator=CoupledConfig(width=16, halvings=2, latent=8), discriminator=OF_PATCHES)
    method = CoGAN(cfg, GRAY)
    x = squares(torch.Generator().manual_seed(1), 16)
    translators = trained(method, 300, torch.neg, lr=0.003)
    with torch.no_grad():
        dark, bright = translators["BtoA"](-x), translators["AtoB"](x)
    assert dark.mean() < -0.25 and bright.mean() > 0.25  # the means of X and Y are -0.43 and 0.43
