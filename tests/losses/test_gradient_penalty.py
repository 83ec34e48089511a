import pytest
import torch
from torch.nn.functional import conv2d
from torch.testing import assert_close

from unpaired.losses.gradient_penalty import r1
from unpaired.models import PatchGANConfig, build_discriminator

RANDOM = torch.Generator().manual_seed(0)


def images(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=RANDOM).requires_grad_()


@pytest.mark.parametrize("count", [1, 3])
def test_of_a_linear_discriminator_it_is_half_of_the_squared_norm_of_its_weights(count):
    w = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    x = images(count, 1, 2, 2)
    penalty = r1((x.flatten(1) @ w).reshape(count, 1, 1, 1), x)
    assert penalty.item() == pytest.approx(7.125, abs=1e-14)  # (1 + 4 + 0.25 + 9) / 2
    (gradient,) = torch.autograd.grad(penalty, w)
    assert_close(gradient, w.detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [(2, 2), (8, 6)])
def test_of_patches_side_by_side_it_is_that_of_one_patch_at_any_size(size):
    kernel = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)[None, None]
    x = images(2, 1, *size)
    assert r1(conv2d(x, kernel, stride=2), x).item() == pytest.approx(7.125, abs=1e-14)


def test_of_patches_that_overlap_the_gradients_of_a_pixel_are_added():
    kernel = torch.tensor([[[[2.0, 1.0]]]], dtype=torch.float64)
    x = images(1, 1, 1, 3)
    # scores 2a + b and 2b + c: the gradient of their sum is (2, 3, 1), 14 / 2 patches / 2
    assert r1(conv2d(x, kernel), x).item() == pytest.approx(3.5, abs=1e-14)


def test_the_penalties_of_several_outputs_are_averaged():
    x = images(2, 1, 3, 3)
    assert r1((2 * x, 4 * x), x).item() == pytest.approx((2 + 8) / 2, abs=1e-14)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_its_gradient_by_the_weights_is_the_difference_quotient(norm, count, layout):
    torch.manual_seed(0)
    cfg = PatchGANConfig(width=3, layers=1, norm=norm, init="xavier", init_gain=1.0)
    network = build_discriminator(cfg, 3).double().to(memory_format=layout)
    x = images(count, 3, 12, 12).detach().contiguous(memory_format=layout).requires_grad_()
    weights = [*network.parameters()]
    along = [torch.randn(w.shape, dtype=w.dtype, generator=RANDOM) for w in weights]

    def penalty():
        return r1(network(x), x)

    gradients = torch.autograd.grad(penalty(), weights, allow_unused=True)
    slope = sum(float((g * v).sum()) for g, v in zip(gradients, along, strict=True) if g is not None)
    values, step = [], 1e-6
    for side in (1, -2):  # first one step there, then two back
        for weight, v in zip(weights, along, strict=True):
            weight.data += side * step * v
        values.append(penalty().item())
    assert abs(slope) > 1e-3
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)
