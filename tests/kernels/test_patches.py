"""Convolutions as products of matrices against torch's own."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from unpaired.models.kernels.cpu import patches
from unpaired.models.kernels.cpu.patches import by_patches, by_patches_gradients, direct, direct_gradients

LAYERS = {
    "4x4 stride 2": lambda: nn.Conv2d(64, 128, 4, stride=2, padding=1),
    "4x4 stride 1": lambda: nn.Conv2d(64, 128, 4, stride=1, padding=1),
    "3x5 uneven": lambda: nn.Conv2d(64, 128, (3, 5), stride=(1, 2), padding=(0, 2)),
    "4x4 transposed": lambda: nn.ConvTranspose2d(64, 128, 4, stride=2, padding=1),
    "3x3 transposed": lambda: nn.ConvTranspose2d(128, 128, 3, stride=2, padding=1, output_padding=1),
}


def case(name, side=3, dtype=torch.float64):
    """A layer, images for it, and a gradient of its result."""
    torch.manual_seed(0)
    conv = LAYERS[name]().to(dtype)
    x = torch.randn(1, conv.in_channels, side, side + 1, dtype=dtype)
    with torch.no_grad():
        grad = torch.randn_like(conv(x))
    return conv, conv.weight.detach(), x, grad


def no_other(*_args):
    raise AssertionError("torch's own convolution was called")


@pytest.mark.parametrize("name", LAYERS)
def test_few_pixels_of_many_channels_give_the_same_convolution_and_gradients(name, monkeypatch):
    conv, weight, x, grad = case(name)
    expected, gradients = direct(x, weight, conv), direct_gradients(grad, x, weight, (True, True), conv)
    monkeypatch.setattr(patches, "direct", no_other)
    monkeypatch.setattr(patches, "direct_gradients", no_other)
    assert_close(by_patches(x, weight, conv), expected, rtol=0, atol=1e-12)
    for found, other in zip(by_patches_gradients(grad, x, weight, (True, True), conv), gradients, strict=True):
        assert_close(found, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["4x4 stride 2", "4x4 transposed"])
def test_only_wanted_gradients_are_computed(name):
    conv, weight, x, grad = case(name)
    for wanted in ((True, False), (False, True), (False, False)):
        found = by_patches_gradients(grad, x, weight, wanted, conv)
        assert tuple(each is not None for each in found) == wanted


@pytest.mark.parametrize("name", ["4x4 stride 2", "4x4 transposed"])
def test_large_maps_stay_with_torch(name, monkeypatch):
    conv, weight, x, grad = case(name, side=32, dtype=torch.float32)
    monkeypatch.setattr(patches, "_rows", no_other)
    monkeypatch.setattr(patches, "_matrix", no_other)
    assert torch.equal(by_patches(x, weight, conv), direct(x, weight, conv))
    by_patches_gradients(grad, x, weight, (True, True), conv)


def test_kernels_in_channels_last_are_not_copied():
    weight = torch.randn(8, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    assert patches._matrix(weight).data_ptr() == weight.data_ptr()


def test_in_bf16_overlapping_patches_are_added_up_in_fp32():
    """Sixteen patches meet in every pixel; added up in bf16 they err by 0.004."""
    conv = nn.ConvTranspose2d(64, 256, 4, stride=1, padding=3)
    torch.manual_seed(0)
    weight = conv.weight.detach().uniform_(0.5, 1).bfloat16()
    x = torch.rand(1, 64, 5, 5).bfloat16()
    exact = direct(x.double(), weight.double(), conv)
    found = by_patches(x, weight, conv)
    assert found.dtype == torch.bfloat16
    assert ((found.double() - exact).norm() / exact.norm()).item() < 0.0025
