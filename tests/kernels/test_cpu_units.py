"""The units against the same layers one by one, in float64, where both are exact."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from unpaired.models import (
    PatchGANConfig,
    PixelGANConfig,
    ResNetConfig,
    UNetConfig,
    build_discriminator,
    build_generator,
)
from unpaired.models.kernels import optimize
from unpaired.models.kernels.cpu.units import Unit, normalise_, plan
from unpaired.models.kernels.plan import Plain
from unpaired.models.trace import trace

CPU = torch.device("cpu")
NETWORKS = {
    "resnet": (lambda: build_generator(ResNetConfig(width=16, blocks=2), 3, 3), 3),
    "resnet of many channels": (lambda: build_generator(ResNetConfig(width=4, blocks=1), 5, 6), 5),
    "resnet zero": (lambda: build_generator(ResNetConfig(width=8, blocks=1, padding="zero"), 1, 3), 1),
    "resnet batch": (lambda: build_generator(ResNetConfig(width=8, blocks=1, norm="batch"), 3, 1), 3),
    "resnet none": (lambda: build_generator(ResNetConfig(width=8, blocks=1, norm="none"), 3, 3), 3),
    "resnet resize": (lambda: build_generator(ResNetConfig(width=16, blocks=1, upsampling="resize"), 3, 3), 3),
    "unet": (lambda: build_generator(UNetConfig(width=4, downs=5), 3, 3), 3),
    "unet resize": (lambda: build_generator(UNetConfig(width=4, downs=5, upsampling="resize"), 3, 3), 3),
    "unet image skip": (
        lambda: build_generator(UNetConfig(width=4, downs=5, upsampling="resize", image_skip=True), 3, 3),
        3,
    ),
    "unet blur": (
        lambda: build_generator(UNetConfig(width=4, downs=5, downsampling="blur", upsampling="blur"), 3, 3),
        3,
    ),
    "patchgan": (lambda: build_discriminator(PatchGANConfig(width=8), 3), 3),
    "patchgan spectral": (lambda: build_discriminator(PatchGANConfig(width=8, layers=2, spectral_norm=True), 3), 3),
    "pixelgan": (lambda: build_discriminator(PixelGANConfig(width=8), 3), 3),
}


def run(network, images, weights=None):
    """Output, gradient of the images and of the parameters for a fixed weighting of the output."""
    images = images.detach().clone().requires_grad_()
    out = network(images)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (out * weights.to(out.dtype)).sum().backward()
    return out.detach(), images.grad, {name: p.grad for name, p in network.named_parameters()}


def pair(name, side=32):
    """A network plain and fused, and images for it."""
    torch.manual_seed(0)
    build, channels = NETWORKS[name]
    plain = build().double()
    for parameter in plain.parameters():  # biases too, and values whose gradients are far from rounding
        nn.init.normal_(parameter, 0, 0.1)
    fused = deepcopy(plain)
    optimize(fused, CPU, torch.float32)
    return plain, fused, torch.rand(2, channels, side, side, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fused_network_and_all_its_gradients_equal_the_plain_one(name):
    plain, fused, images = pair(name)
    (out, for_images, gradients), (same, for_same, others) = run(plain, images), run(fused, images)
    assert_close(same, out, rtol=0, atol=1e-10)
    assert_close(for_same, for_images, rtol=1e-7, atol=1e-8)
    for key, gradient in gradients.items():
        assert_close(others[key], gradient, rtol=1e-7, atol=1e-8, msg=lambda m, key=key: f"{key}: {m}")


def test_names_of_weights_do_not_change_by_fusing():
    plain, fused, _ = pair("unet resize")
    assert list(plain.state_dict()) == list(fused.state_dict())


def works(layers):
    """What the plan of a chain of layers carries out, in order."""
    return [step.work for step in plan(trace(nn.Sequential(*layers))).steps]


def test_frozen_weights_get_no_gradient_and_images_do():
    _, fused, images = pair("patchgan")
    fused.requires_grad_(False)
    _, for_images, gradients = run(fused, images)
    assert for_images.abs().sum() > 0
    assert set(gradients.values()) == {None}


def test_a_convolution_is_joined_to_what_stands_around_it():
    found = works(
        [
            *[nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.InstanceNorm2d(4), nn.ReLU()],
            *[nn.ReflectionPad2d(1), nn.Conv2d(4, 4, 3), nn.InstanceNorm2d(4)],
            *[nn.LeakyReLU(0.2), nn.Conv2d(4, 3, 1), nn.Tanh()],
        ]
    )
    described = [(u.slope, u.reflect, u.eps) for u in found if isinstance(u, Unit)]
    assert described == [(1.0, 3, 1e-5), (0.0, 1, 1e-5), (0.2, 0, None)]
    assert isinstance(found[-1], Plain) and isinstance(found[-1].layer, nn.Tanh) and len(found) == 4


def test_what_a_unit_keeps_for_its_gradient_is_what_it_was_given_and_what_it_gave():
    """One by one the layers keep the activation, the padded image and the convolution's result, too."""
    layers = [nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(8, 8, 3), nn.InstanceNorm2d(8)]

    def kept(run):
        sizes = {}
        x = torch.randn(1, 8, 16, 16, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.update({t.data_ptr(): t.numel()}) or t, lambda t: t
        ):
            y = run(x)
        assert y.requires_grad
        return sum(size for size in sizes.values() if size > 8 * 8 * 9)

    (unit,) = works(layers)
    assert kept(unit) == 2 * 8 * 16 * 16
    assert kept(nn.Sequential(*layers)) >= 3 * 8 * 16 * 16


def test_in_bf16_a_unit_answers_in_bf16_and_its_weights_get_fp32_gradients():
    (unit,) = works([nn.ReLU(), nn.Conv2d(4, 8, 3), nn.InstanceNorm2d(8)])
    y = unit(torch.randn(2, 4, 9, 9, dtype=torch.bfloat16, requires_grad=True))
    y.square().mean().backward()
    assert y.dtype == torch.bfloat16
    assert unit.conv.weight.grad.dtype == torch.float32 and unit.conv.bias.grad.dtype == torch.float32


def test_in_bf16_a_norm_keeps_mean_and_rate_in_fp32():
    """Rounded to bf16 they err by three times what rounding the result does."""
    torch.manual_seed(0)
    y = (torch.randn(2, 16, 16, 16) + 3).bfloat16().contiguous(memory_format=torch.channels_last)
    exact = nn.functional.instance_norm(y.double())
    rates = normalise_(y, 1e-5)
    assert rates.dtype == torch.float32
    assert ((y.double() - exact).norm() / exact.norm()).item() < 0.0025


def test_everything_stays_in_channels_last():
    (unit,) = works([nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(64, 64, 3), nn.InstanceNorm2d(64)])
    x = torch.randn(2, 64, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = unit(x)
    y.sum().backward()
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
