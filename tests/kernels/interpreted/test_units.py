"""The units in Triton beside the same layers of torch in float64."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import instance_norm, leaky_relu, pad
from torch.testing import assert_close

from unpaired.models.kernels.cuda import units
from unpaired.models.kernels.cuda.tuning import launch
from unpaired.models.kernels.cuda.units import Piece, Unit

EPS = 1e-5


@dataclass(frozen=True)
class Case:
    """A unit and what it is given."""

    shape: tuple[int, int, int, int]
    slope: float = 1.0
    pad: int = 0
    mode: str = "none"
    norm: bool = True
    affine: bool = False
    residual: bool = False
    inner: bool = False


CASES = {
    "ReLU, three mirrored": Case((2, 3, 9, 11), slope=0.0, pad=3, mode="reflect"),
    "block's first norm": Case((2, 64, 9, 11), slope=0.0, pad=1, mode="reflect"),
    "block's second norm": Case((1, 70, 7, 9), pad=1, mode="reflect", residual=True, inner=True),
    "last block's": Case((3, 16, 5, 8), residual=True),
    "discriminator's": Case((1, 130, 6, 5), slope=0.2),
    "zero padding": Case((2, 12, 6, 7), slope=0.3, pad=2, mode="zero", residual=True, inner=True),
    "affine": Case((3, 8, 5, 7), slope=0.1, pad=1, mode="reflect", affine=True),
    "affine with a residual": Case((1, 8, 6, 7), slope=0.2, affine=True, residual=True),
    "bias without norm": Case((2, 5, 6, 7), slope=0.2, norm=False, affine=True),
    "bias, residual, mirror": Case(
        (1, 5, 6, 7), slope=0.0, pad=2, mode="reflect", norm=False, affine=True, residual=True
    ),
    "mirror alone": Case((1, 3, 7, 5), pad=3, mode="reflect", norm=False),
    "mirrors that overlap": Case((1, 4, 4, 3), slope=0.0, pad=2, mode="reflect", residual=True, inner=True),
    "one row": Case((1, 4, 1, 9), slope=0.2),
    "one channel": Case((2, 1, 6, 6), slope=0.2, norm=False, affine=True),
}


def given(case: Case, dtype: torch.dtype) -> list[Tensor | None]:
    """Piece, scale, shift and residual; those there are want gradients."""
    shape, channels = case.shape, case.shape[1]
    y = (torch.randn(shape) * 2 + 3).to(dtype).contiguous(memory_format=torch.channels_last)
    scale = torch.randn(channels) if case.affine and case.norm else None
    shift = torch.randn(channels) if case.affine else None
    residual = torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last) if case.residual else None
    return [None if x is None else x.requires_grad_() for x in (y, scale, shift, residual)]


def written(case: Case, y, scale, shift, residual) -> tuple[Tensor, ...]:
    """The unit by torch's layers."""
    z = instance_norm(y, eps=EPS) if case.norm else y
    z = z if scale is None else z * scale[:, None, None]
    z = leaky_relu(z if shift is None else z + shift[:, None, None], case.slope)
    z = z if residual is None else z + residual
    mode = "reflect" if case.mode == "reflect" else "constant"
    out = pad(z, (case.pad,) * 4, mode=mode) if case.pad else z
    return (out, z) if case.inner else (out,)


def unit_of(case: Case) -> Unit:
    piece = Piece(eps=EPS if case.norm else None)
    return Unit((piece,), case.slope, case.residual, case.pad, case.mode, case.inner)


def both(case: Case, dtype: torch.dtype):
    """(ours, torch's) of every output and every gradient."""
    tensors = given(case, dtype)
    exact = [None if x is None else x.detach().double().requires_grad_() for x in tensors]
    out = unit_of(case)(*tensors[:3], *([tensors[3]] if case.residual else []))
    out = out if isinstance(out, tuple) else (out,)
    expected = written(case, *exact)
    weights = [torch.randn(x.shape).to(dtype) for x in expected]
    found = torch.autograd.grad(out, [x for x in tensors if x is not None], weights)
    right = torch.autograd.grad(expected, [x for x in exact if x is not None], [w.double() for w in weights])
    return list(zip(out, expected, strict=True)), list(zip(found, right, strict=True))


def error(found: Tensor, right: Tensor) -> float:
    """Relative to the largest value."""
    return ((found.double() - right).abs().max() / right.abs().max()).item()


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_equal_torchs(name):
    outputs, gradients = both(CASES[name], torch.float32)
    assert all(error(*pair) < 2e-6 for pair in outputs)
    assert all(error(*pair) < 4e-6 for pair in gradients)


@pytest.mark.parametrize("name", ["block's second norm", "discriminator's", "bias without norm"])
def test_in_bf16_results_are_rounded_once_or_twice_and_sums_in_fp32(name):
    """The interpreter cuts off what does not fit into 8 bits, where a card rounds: 2^-7 of a value at most.

    With a residual the gradient is rounded a second time: that of the residual is what the other is made of.
    """
    outputs, gradients = both(CASES[name], torch.bfloat16)
    for found, right in [*outputs, *gradients]:
        bits = 2**-7 if found.dtype == torch.bfloat16 else 2**-16
        assert_close(found.double(), right, rtol=2 * bits, atol=bits * right.abs().max().item())


def test_statistics_lose_nothing_beside_a_large_mean():
    """mean^2 / variance = 10^6: sums of squares in fp32 would keep one digit of the variance."""
    y = torch.randn(1, 64, 9, 11).contiguous(memory_format=torch.channels_last) + 1000
    assert launch(1, 64, 99).split > 1
    y[:, :, 0] += 30  # a first row that stands for no other
    found = Unit((Piece(eps=EPS),))(y, None, None)
    exact = y.double()
    exact = (exact - exact.mean((2, 3), keepdim=True)) / (exact.var((2, 3), correction=0, keepdim=True) + EPS).sqrt()
    assert (found - exact).abs().max() < 2e-4  # 1000 has a spacing of 6e-5 in fp32


def test_pieces_lie_beside_each_other_and_each_gets_its_gradient():
    """As a U-Net joins its skip: activated features, and a norm of what comes up."""
    skip, up = (torch.randn(2, c, 5, 6).contiguous(memory_format=torch.channels_last).requires_grad_() for c in (6, 10))
    unit = Unit((Piece(), Piece(eps=EPS)), slope=0.0, pad=1, mode="reflect")
    out = unit(skip, None, None, up, None, None)
    exact = [x.detach().double().requires_grad_() for x in (skip, up)]
    joined = torch.cat([exact[0], instance_norm(exact[1], eps=EPS)], 1).relu()
    expected = pad(joined, (1,) * 4, mode="reflect")
    weights = torch.randn(expected.shape)
    assert error(out, expected) < 2e-6
    found = torch.autograd.grad(out, (skip, up), weights)
    right = torch.autograd.grad(expected, exact, weights.double())
    assert all(error(*pair) < 4e-6 for pair in zip(found, right, strict=True))


def test_images_are_read_in_any_layout_and_filled_up_with_zeros():
    image = torch.randn(2, 3, 6, 7).requires_grad_()  # channels slowest, as a loader gives them
    unit = Unit((Piece(),), pad=2, mode="reflect", aligned=True, dtype=torch.bfloat16)
    out = unit(image, None, None)
    assert out.shape == (2, 8, 10, 11) and out.is_contiguous(memory_format=torch.channels_last)
    assert_close(out[:, :3].float(), pad(image, (2,) * 4, mode="reflect"), rtol=2**-7, atol=0)
    assert not out[:, 3:].any()
    weights = torch.randn(2, 8, 10, 11).bfloat16()
    (found,) = torch.autograd.grad(out, image, weights)
    (right,) = torch.autograd.grad(pad(image.double(), (2,) * 4, mode="reflect"), image, weights[:, :3].double())
    assert error(found, right.double()) < 1e-6


def test_channels_that_only_fill_up_get_a_gradient_of_zero():
    y = torch.randn(1, 8, 5, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    out = Unit((Piece(channels=3, eps=EPS),))(y, None, None)
    assert out.shape == (1, 3, 5, 6)
    (found,) = torch.autograd.grad(out, y, torch.randn(out.shape))
    assert found[:, :3].abs().sum() > 0 and not found[:, 3:].any()


def test_only_the_inner_output_may_be_used():
    y = torch.randn(1, 4, 5, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    _, inner = Unit((Piece(eps=EPS),), pad=1, mode="reflect", inner=True)(y, None, None)
    exact = y.detach().double().requires_grad_()
    weights = torch.randn(inner.shape)
    (found,) = torch.autograd.grad(inner, y, weights)
    (right,) = torch.autograd.grad(instance_norm(exact, eps=EPS), exact, weights.double())
    assert error(found, right) < 4e-6


def test_a_unit_keeps_the_convolutions_output_and_the_sums_and_nothing_else():
    kept = {}

    def pack(x):
        kept[x.data_ptr()] = x.numel()
        return x

    y = torch.randn(1, 16, 9, 11).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        Unit((Piece(eps=EPS),), slope=0.0, pad=1, mode="reflect", inner=True)(y, None, None)
    assert sorted(kept.values()) == [2 * 16 * launch(1, 16, 99).split, y.numel()]


@pytest.mark.parametrize("side", [2048, 16384])
def test_no_launch_has_more_programs_than_cuda_allows(side, monkeypatch):
    grids = []

    class Launched:
        def __getitem__(self, grid):
            grids.append(grid)
            return lambda *arguments, **flags: None

    for name in ("measure", "finish", "gradient_sums", "gradient"):
        monkeypatch.setattr(units.kernels, name, Launched())
    unit = Unit((Piece(eps=1e-5),), slope=0.0, pad=3, mode="reflect")
    y = torch.empty(1, 64, side, side, device="meta").contiguous(memory_format=torch.channels_last)
    y.requires_grad_()
    unit(y, None, None).sum().backward()
    assert len(grids) == 4 and all(x < 2**31 and max(others) <= 65_535 for x, *others in grids)
