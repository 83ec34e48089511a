"""The gradient of the plain layers does not depend on the memory layout, for a single image neither."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import instance_norm

from unpaired.models import ResNetConfig, UNetConfig, build_generator
from unpaired.models.layers import norm_layer


def gradients(network, x, layout, loss):
    """Of the input and of every weight, in float64."""
    network.to(memory_format=layout)
    x = x.contiguous(memory_format=layout).requires_grad_()
    network.zero_grad()
    found = torch.autograd.grad(loss(network, x), [x, *network.parameters()], allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def squared(network, x):
    return network(x).square().sum()


def of_features(network, x):
    return sum((feature**3).sum() for feature in network.features(x, network.encoder))


def assert_same_in_both_layouts(network, x, loss):
    torch.manual_seed(1)
    expected, found = (gradients(network, x, layout, loss) for layout in (torch.contiguous_format, torch.channels_last))
    largest = max(float(gradient.abs().max()) for gradient in expected)  # biases before a norm have none but rounding
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-8, atol=1e-10 * largest)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_norm_between_convolutions(batch):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), norm_layer("instance", 6), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3))
    assert_same_in_both_layouts(layers.double(), torch.randn(batch, 3, 10, 12, dtype=torch.float64), squared)


@pytest.mark.parametrize("cfg", [ResNetConfig(width=2, blocks=1), UNetConfig(width=2, downs=5)], ids=["resnet", "unet"])
@pytest.mark.parametrize("loss", [squared, of_features])
def test_generators_layer_by_layer(cfg, loss):
    """Features, which contrastive losses compare, are computed by the plain layers in every precision."""
    torch.manual_seed(0)
    network = build_generator(cfg, 3, 3).double()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.2)
    assert_same_in_both_layouts(network, torch.randn(1, 3, 32, 32, dtype=torch.float64), loss)


def test_torch_itself_is_wrong_for_one_image():
    """Where this fails, torch is mended, and InstanceNorm2d of unpaired/models/layers.py may go."""
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    g = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    right, found = (
        torch.autograd.grad(instance_norm(x), x, g.contiguous(memory_format=layout))[0]
        for layout in (torch.contiguous_format, torch.channels_last)
    )
    if torch.__version__.startswith("2.13"):
        assert (right - found).abs().max() > 0.1
