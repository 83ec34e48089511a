"""Whole networks in Triton units beside the networks as written, in float64 and in bf16."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from unpaired.models import (
    PatchGANConfig,
    PixelGANConfig,
    ResNetConfig,
    UNetConfig,
    build_discriminator,
    build_generator,
)
from unpaired.models.kernels import optimize, refreshed
from unpaired.models.kernels.cuda.convolution import Convolve
from unpaired.models.kernels.plan import Plain
from unpaired.models.resnet import checkpoint_blocks

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("large_tiles")
NETWORKS = {
    "resnet": lambda: build_generator(ResNetConfig(width=4, blocks=2), 3, 3),
    "resnet zero": lambda: build_generator(ResNetConfig(width=4, blocks=1, padding="zero"), 1, 3),
    "resnet batch": lambda: build_generator(ResNetConfig(width=4, blocks=1, norm="batch"), 3, 1),
    "resnet none": lambda: build_generator(ResNetConfig(width=4, blocks=1, norm="none"), 3, 3),
    "resnet blur": lambda: build_generator(
        ResNetConfig(width=4, blocks=1, downsampling="blur", upsampling="blur"), 3, 3
    ),
    "unet": lambda: build_generator(UNetConfig(width=2, downs=5), 3, 3),
    "unet resize": lambda: build_generator(UNetConfig(width=2, downs=5, upsampling="resize"), 3, 3),
    "unet image skip": lambda: build_generator(
        UNetConfig(width=2, downs=5, upsampling="resize", image_skip=True), 3, 3
    ),
    "patchgan": lambda: build_discriminator(PatchGANConfig(width=4, layers=2), 3),
    "patchgan none": lambda: build_discriminator(PatchGANConfig(width=4, layers=2, norm="none"), 3),
    "patchgan spectral": lambda: build_discriminator(PatchGANConfig(width=4, layers=2, spectral_norm=True), 3),
    "pixelgan": lambda: build_discriminator(PixelGANConfig(width=4), 3),
}


def built(name: str) -> nn.Module:
    network = NETWORKS[name]()
    for parameter in network.parameters():  # biases too, and values whose gradients are far from rounding
        nn.init.normal_(parameter, 0, 0.1)
    return network


def images(network: nn.Module, name: str, batch: int = 1) -> torch.Tensor:
    side = 32 if "unet" in name else 8 if name == "pixelgan" else 16
    channels = next(layer.in_channels for layer in network.modules() if isinstance(layer, nn.Conv2d))
    return torch.rand(batch, channels, side, side) * 2 - 1


def optimized(network: nn.Module, precision: torch.dtype = torch.float32) -> nn.Module:
    fast = deepcopy(network).to(memory_format=torch.channels_last)
    optimize(fast, CPU, precision, "cuda")
    return fast


def run(network: nn.Module, x: torch.Tensor):
    """Output, gradient of the images, and of the weights by name."""
    x = x.clone().requires_grad_()
    out = network(x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (out * weights.to(out.dtype)).sum().backward()
    return out.detach(), x.grad, {name: p.grad for name, p in network.named_parameters()}


def error(found: torch.Tensor, right: torch.Tensor) -> float:
    return ((found.double() - right).norm() / right.norm()).item()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_units_and_all_its_gradients_equal_the_plain_one(name):
    plain = built(name)
    x = images(plain, name)
    (out, for_x, gradients), (same, for_same, others) = (
        run(deepcopy(plain).double(), x.double()),
        run(optimized(plain), x),
    )
    assert error(same, out) < 1e-5 and error(for_same, for_x) < 5e-5
    for key, gradient in gradients.items():
        if gradient.norm() > 1e-9:
            assert error(others[key], gradient) < 5e-5, key
        else:  # a bias in front of a norm, which takes it off again: it is left out
            assert others[key] is None or others[key].norm() < 1e-4, key


@pytest.mark.parametrize("name", ["resnet none", "patchgan"])
def test_in_bf16_a_network_stays_close_takes_fp32_and_gives_fp32(name):
    plain = built(name)
    x = images(plain, name)
    out, _, gradients = run(deepcopy(plain).double(), x.double())
    found, for_x, others = run(optimized(plain, torch.bfloat16), x)
    assert found.dtype == for_x.dtype == torch.float32 and {g.dtype for g in others.values() if g is not None} == {
        torch.float32
    }
    assert error(found, out) < 0.02
    errors = [error(others[key], g) for key, g in gradients.items() if g.norm() > 1e-9]
    assert sorted(errors)[len(errors) // 2] < 0.15


def test_a_generator_is_convolutions_units_and_a_tanh():
    fast = optimized(built("resnet"))
    steps = [step.work for step in vars(fast.model)["forward"].steps]
    assert sum(isinstance(work, Convolve) for work in steps) == 10
    assert len(steps) == 10 + 11 + 1  # a unit after each convolution, one to mirror the image out, and the last layer
    assert [work.layer for work in steps if isinstance(work, Plain)] == [fast.model[-1]]


def test_a_unet_joins_its_skips_in_units():
    fast = optimized(built("unet"))
    steps = [step.work for step in vars(fast.model)["forward"].steps]
    assert [work.layer for work in steps if isinstance(work, Plain)] == [fast.model.model[-1]]


def test_a_copy_of_an_optimized_network_has_weights_of_its_own():
    fast = optimized(built("patchgan"))
    copy, x = deepcopy(fast), images(fast, "patchgan")
    before = fast(x)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.mul_(2)
    assert torch.equal(fast(x), before) and not torch.equal(copy(x), before)


def test_loaded_weights_count_at_once():
    fast, other = optimized(built("patchgan"), torch.bfloat16), built("patchgan")
    x = images(fast, "patchgan")
    assert list(fast.state_dict()) == list(other.state_dict())
    fast.load_state_dict(other.state_dict())
    assert torch.equal(fast(x), optimized(other, torch.bfloat16)(x))


def test_copies_of_weights_are_made_once_inside_refreshed_and_anew_outside():
    fast = optimized(built("pixelgan"), torch.bfloat16)
    weights = vars(fast.net)["forward"].weights
    x = images(fast, "pixelgan")
    with refreshed([fast]):
        before, places = fast(x), [copy.data_ptr() for copy in weights.copies]
        with torch.no_grad():
            fast.net[0].weight.mul_(2)
        assert torch.equal(fast(x), before)  # as at the entry
    after = fast(x)
    assert not torch.equal(after, before)
    with refreshed([fast]):
        assert [copy.data_ptr() for copy in weights.copies] == places and torch.equal(fast(x), after)


def test_two_passes_inside_refreshed_have_the_gradients_of_two_outside():
    one, two = (optimized(built("pixelgan"), torch.bfloat16) for _ in range(2))
    two.load_state_dict(one.state_dict())
    x = images(one, "pixelgan", batch=2)
    (one(x[:1]).mean() + one(x[1:]).mean()).backward()
    with refreshed([two]):
        (two(x[:1]).mean() + two(x[1:]).mean()).backward()
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad)


def test_checkpointed_blocks_have_the_same_gradients():
    plain = build_generator(ResNetConfig(width=2, blocks=1), 3, 3)
    x, checkpointed = torch.rand(1, 3, 8, 8), deepcopy(plain)
    checkpoint_blocks(checkpointed)
    found, right = run(optimized(checkpointed), x), run(optimized(plain), x)
    torch.testing.assert_close(found[0], right[0], rtol=1e-5, atol=1e-6)
    for key, gradient in right[2].items():
        assert (gradient is None) == (found[2][key] is None)
        if gradient is not None:
            torch.testing.assert_close(found[2][key], gradient, rtol=1e-4, atol=1e-4)
