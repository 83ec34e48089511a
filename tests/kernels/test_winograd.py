import pytest
import torch
from torch.nn.functional import conv2d
from torch.testing import assert_close

from unpaired.models.kernels.cpu import winograd
from unpaired.models.kernels.cpu.winograd import LARGE, SMALL, tiles_for


def case(h=8, w=12, c=5, k=3, b=2, dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(b, c, h + 2, w + 2, dtype=dtype, requires_grad=True)
    weight = torch.randn(k, c, 3, 3, dtype=dtype, requires_grad=True)
    return x, weight


def channels_last(x):
    return x.detach().permute(0, 2, 3, 1)


@pytest.mark.parametrize("tiles", [SMALL, LARGE], ids=["2x2", "4x4"])
@pytest.mark.parametrize("slices", [1, 2, 3])
def test_tiles_give_the_convolution_and_its_gradients(tiles, slices, monkeypatch):
    x, weight = case()
    monkeypatch.setattr(winograd, "CACHED", tiles.n**2 * 5 * 8 * (4 - slices))
    assert len(tiles._slices(weight, x)) == slices
    expected = conv2d(x, weight)
    grad = torch.randn_like(expected)
    for_x, for_weight = torch.autograd.grad(expected, [x, weight], grad)
    found = tiles.convolve(channels_last(x), weight.detach())
    assert_close(found.permute(0, 3, 1, 2), expected, rtol=0, atol=1e-12)
    got_x, got_weight = tiles.gradients(channels_last(grad), channels_last(x), weight.detach(), (True, True))
    assert_close(got_x.permute(0, 3, 1, 2), for_x, rtol=0, atol=1e-12)
    assert_close(got_weight, for_weight, rtol=0, atol=1e-12)


def test_only_the_wanted_gradients_are_computed():
    x, weight = case()
    grad = torch.randn(2, 8, 12, 3, dtype=x.dtype)
    for wanted in ((True, False), (False, True), (False, False)):
        found = LARGE.gradients(grad, channels_last(x), weight.detach(), wanted)
        assert tuple(each is not None for each in found) == wanted


def test_sums_of_bf16_are_not_rounded_between_slices(monkeypatch):
    monkeypatch.setattr(winograd, "CACHED", 1)
    x, weight = case(dtype=torch.float32)
    assert len(SMALL._slices(weight, x)) == len(weight)
    assert SMALL._slices(weight, x.bfloat16()) == [slice(0, len(weight))]


def error(tiles, dtype):
    """Relative error of the convolution beside exact arithmetic, and that of torch's own."""
    x, weight = case(32, 32, c=64, k=64)
    exact = conv2d(x, weight)
    rounded, small = x.detach().to(dtype), weight.detach().to(dtype)
    found = tiles.convolve(channels_last(rounded), small).permute(0, 3, 1, 2)
    return [((each.double() - exact).norm() / exact.norm()).item() for each in (found, conv2d(rounded, small))]


def test_in_fp32_large_tiles_round_a_few_times_as_much_as_the_direct_sum_and_no_more():
    found, direct = error(LARGE, torch.float32)
    assert found < 2e-6 and found < 10 * direct


def test_in_bf16_small_tiles_lose_at_most_two_bits():
    found, direct = error(SMALL, torch.bfloat16)
    assert found < 4 * direct < 0.02


def test_what_becomes_of_fp32_weights_under_bf16_images_is_rounded_at_most_once():
    x, weight = case(8, 8, c=16, k=16, dtype=torch.float32)
    x, weight = channels_last(x).bfloat16(), weight.detach()
    exact = (SMALL.kernel @ weight.double().permute(2, 3, 0, 1).reshape(9, -1)).view(-1, 16, 16)
    assert_close(SMALL._kernels(weight, x).double(), exact, rtol=2**-8, atol=1e-6)
    _, for_weight = SMALL.gradients(torch.ones(2, 8, 8, 16).bfloat16(), x, weight, (False, True))
    assert not torch.equal(for_weight, for_weight.bfloat16().float())


def shapes(side, channels, dtype):
    """Empty tensors of the layer's shape."""
    return torch.empty(1, side + 2, side + 2, channels, dtype=dtype), torch.empty(channels, channels, 3, 3)


@pytest.mark.parametrize(
    ("side", "channels", "dtype", "amx", "tiles"),
    [
        (32, 256, torch.float32, False, LARGE),
        (32, 256, torch.float32, True, LARGE),
        (30, 256, torch.float32, False, SMALL),  # 30 divides by 2, not by 4
        (16, 256, torch.float32, False, SMALL),  # 16 large tiles do not repay their kernels
        (8, 256, torch.float32, False, None),  # nor 16 small ones
        (31, 256, torch.float32, False, None),
        (32, 32, torch.float32, False, None),
        (32, 256, torch.bfloat16, False, SMALL),
        (16, 256, torch.bfloat16, False, None),
        (32, 256, torch.bfloat16, True, None),  # the chip's own tiles are faster
        (32, 128, torch.bfloat16, False, None),
    ],
)
def test_tiles_are_chosen_by_shape_precision_and_chip(monkeypatch, side, channels, dtype, amx, tiles):
    monkeypatch.setattr(winograd, "has_amx", lambda: amx)
    assert tiles_for(*shapes(side, channels, dtype)) is tiles
