import math

import pytest
import torch
from torch import nn

from unpaired.models import (
    PatchGAN,
    PatchGANConfig,
    PixelGANConfig,
    ResNetConfig,
    UNetConfig,
    build_discriminator,
    build_generator,
)
from unpaired.models.init import initialise

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
BUILD = {
    "resnet": lambda norm: build_generator(ResNetConfig(width=24, blocks=1, norm=norm), 3, 3),
    "resize": lambda norm: build_generator(ResNetConfig(width=24, blocks=1, norm=norm, upsampling="resize"), 3, 3),
    "unet": lambda norm: build_generator(UNetConfig(width=8, downs=6, norm=norm), 3, 3),
    "patchgan": lambda norm: build_discriminator(PatchGANConfig(width=24, norm=norm), 3),
    "pixelgan": lambda norm: build_discriminator(PixelGANConfig(width=64, norm=norm), 3),
}


def built(name, seed=0, norm="instance"):
    torch.manual_seed(seed)
    return BUILD[name](norm)


def convolutions(network):
    return [module for module in network.modules() if isinstance(module, CONVOLUTIONS)]


@pytest.mark.parametrize("name", BUILD)
def test_every_convolution_starts_from_a_normal_distribution_of_deviation_two_hundredths(name):
    for module in convolutions(built(name)):
        w = module.weight.detach().double()
        n = w.numel()
        assert abs(w.mean()) < 5 * 0.02 / math.sqrt(n), module
        assert abs(w.std(correction=0) / 0.02 - 1) < 5 / math.sqrt(2 * n) + 1 / n, module


@pytest.mark.parametrize("name", ["resnet", "unet", "patchgan"])
def test_the_weights_are_spread_as_the_normal_distribution_is(name):
    w = torch.cat([module.weight.detach().flatten() for module in convolutions(built(name))]) / 0.02
    for sigmas in (1, 2, 3):
        share = math.erfc(sigmas / math.sqrt(2))  # 0.317, 0.046, 0.003
        bound = 5 * math.sqrt(share * (1 - share) / len(w))
        assert abs((w.abs() > sigmas).double().mean() - share) < bound


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", BUILD)
def test_every_bias_starts_at_zero(name, norm):
    biases = [value for key, value in built(name, norm=norm).named_parameters() if key.endswith("bias")]
    assert biases and all(not bias.any() for bias in biases)


def test_batch_norm_scales_start_around_one_with_deviation_two_hundredths():
    network = built("resnet", norm="batch")
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 7
    scales = torch.cat([module.weight.detach() for module in norms]).double()
    n = len(scales)
    assert abs(scales.mean() - 1) < 5 * 0.02 / math.sqrt(n)
    assert abs(scales.std() / 0.02 - 1) < 5 / math.sqrt(2 * n)


@pytest.mark.parametrize("name", BUILD)
def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(name):
    first, again, other = (built(name, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first if key.endswith("weight"))


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", BUILD)
def test_under_one_seed_the_draws_are_those_of_the_published_code(name, norm):
    """It visits children first (`Module.apply`) and draws one tensor for each layer."""
    ours, theirs = built(name, norm=norm), built(name, norm=norm, seed=9)

    def published(module):
        if isinstance(module, CONVOLUTIONS):
            module.weight.data = torch.randn(module.weight.shape) * 0.02
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data = 1 + torch.randn(module.weight.shape) * 0.02

    torch.manual_seed(5)
    initialise(ours)
    torch.manual_seed(5)
    theirs.apply(published)
    for (key, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8, msg=key)


@pytest.mark.parametrize("init", ["xavier", "kaiming", "orthogonal"])
def test_the_other_distributions_are_those_of_torch_for_the_same_draws(init):
    torch.manual_seed(0)
    network = build_discriminator(PatchGANConfig(width=8, layers=1, norm="batch", init=init, init_gain=0.5), 3)
    torch.manual_seed(0)
    twin = PatchGAN(PatchGANConfig(width=8, layers=1, norm="batch"), 3)
    draw = {
        "xavier": lambda w: nn.init.xavier_normal_(w, 0.5),
        "kaiming": nn.init.kaiming_normal_,
        "orthogonal": lambda w: nn.init.orthogonal_(w, 0.5),
    }[init]
    for module in twin.modules():
        if isinstance(module, CONVOLUTIONS):
            draw(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.5)
    pairs = zip(network.named_parameters(), twin.parameters(), strict=True)
    assert all(name.endswith("bias") or torch.equal(made, expected) for (name, made), expected in pairs)
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))
