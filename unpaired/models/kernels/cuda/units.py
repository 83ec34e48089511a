"""Convolution in low precision, and all layers up to the next one as a single unit, with hand-written gradients.

A unit computes pad(activation(norm(y)) + residual) and keeps y and the sums over it, nothing in between. What it is
made of may be several tensors beside each other in the channels, as a U-Net's skip connection lays them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unpaired.models.kernels.cuda import triton_kernels
from unpaired.models.kernels.cuda.tuning import ALIGNED_CHANNELS, TILES, WARPS, Launch, launch, power_of_two

kernels: Any = triton_kernels  # their parameters have types of Triton's own
LAST = torch.channels_last
MODES = {"none": kernels.NONE, "reflect": kernels.REFLECT, "zero": kernels.ZERO}


@dataclass(frozen=True)
class Piece:
    """One tensor of a unit, normalised or not."""

    channels: int | None = None
    """Only its first so many, where the others are there to fill it up; None for all."""
    eps: float | None = None
    """Of an InstanceNorm; None without a norm."""


@dataclass(frozen=True)
class Unit:
    """pad(activation(pieces beside each other) + residual)."""

    pieces: tuple[Piece, ...]
    slope: float = 1.0
    """Of the activation below zero: 0 for ReLU, 0.2 for LeakyReLU(0.2), 1 for none."""
    residual: bool = False
    """Whether a tensor is added in front of the padding; only to a single piece."""
    pad: int = 0
    mode: str = "none"
    """Of the padding: "reflect", "zero" or "none"."""
    inner: bool = False
    """Whether the result without its padding is a second output."""
    aligned: bool = False
    """Whether the output is filled up with channels of zeros to as many as tensor cores multiply."""
    dtype: torch.dtype | None = None
    """Of the output; the first piece's if None."""

    def __call__(self, *tensors: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
        """(b, c, h, w) to (b, c, h + 2 pad, w + 2 pad), and (b, c, h, w) besides if `inner`.

        Takes every piece, its scale and its shift per channel (of an affine norm; the bias of a convolution without
        norm is a shift; None where there is none), then the residual, if any.
        """
        return _Unit.apply(self, *tensors)  # pyright: ignore[reportReturnType]


def aligned(channels: int) -> int:
    """Channels after filling up."""
    return max(channels, ALIGNED_CHANNELS)


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, unit: Unit, *tensors: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        first, p, ends = tensors[0], unit.pad, _ends(unit, tensors)
        b, _, h, w = first.shape
        size = (b, aligned(ends[-1]) if unit.aligned else ends[-1], h + 2 * p, w + 2 * p)
        out = torch.empty(size, dtype=unit.dtype or first.dtype, device=first.device, memory_format=LAST)
        residual, parts = _by_pixels(tensors[-1]) if unit.residual else None, []
        for k, (start, end) in enumerate(pairwise([0, *ends[:-1], size[1]])):
            given = tensors[3 * k : 3 * k + 3]
            parts.append(_finish(unit, unit.pieces[k], given, ends[k] - start, residual, out[:, start:end]))
        ctx.unit, ctx.like = unit, None if residual is None else residual.dtype
        ctx.save_for_backward(*tensors[: 3 * len(unit.pieces)], *parts)
        ctx.set_materialize_grads(False)
        return (out, out[:, : ends[-1], p : p + h, p : p + w]) if unit.inner else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        unit: Unit = ctx.unit
        saved = ctx.saved_tensors  # once: a checkpointed block computes them at the first question
        tensors, parts = saved[: 3 * len(unit.pieces)], saved[3 * len(unit.pieces) :]
        whole = [None if grad is None else _by_pixels(grad) for grad in grads]
        given, for_residual = [], None
        for k, (start, end) in enumerate(pairwise([0, *_ends(unit, tensors)])):
            outer, inner = (*(None if grad is None else grad[:, start:end] for grad in whole), None)[:2]
            of_piece, for_residual = _back(
                unit, unit.pieces[k], tensors[3 * k : 3 * k + 3], parts[k], outer, inner, end - start, ctx.like
            )
            given += of_piece
        return None, *given, *([for_residual] if unit.residual else [])


def _ends(unit: Unit, tensors: Sequence[Any]) -> list[int]:
    """Of every piece, the channel of the result behind its last one."""
    pieces = zip(unit.pieces, tensors[::3], strict=False)
    return list(accumulate(piece.channels or x.shape[1] for piece, x in pieces))


def _by_pixels(x: Tensor) -> Tensor:
    """The tensor with the channels of a pixel beside each other in memory."""
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous(memory_format=LAST)


def _place(x: Tensor | None, unread: Tensor) -> tuple[Any, ...]:
    """A tensor with channels fastest as the kernels take it; without one, another that they do not read."""
    return (unread, 0, 0, 0) if x is None else (x, x.stride(0), x.stride(2), x.stride(3))


def _source(y: Tensor) -> tuple[Any, ...]:
    """Any tensor: strides of images, rows, pixels and channels."""
    return y, y.stride(0), y.stride(2), y.stride(3), y.stride(1)


def _flags(unit: Unit, piece: Piece, tile: Launch) -> dict[str, Any]:
    return {
        "P": unit.pad,
        "MODE": MODES[unit.mode] if unit.pad else kernels.NONE,
        "NORM": piece.eps is not None,
        "SP": power_of_two(tile.split),
        "R": tile.rows,
        "BC": tile.channels,
        "num_warps": WARPS,
    }


def _finish(
    unit: Unit, piece: Piece, tensors: Sequence[Any], c: int, residual: Tensor | None, out: Tensor
) -> Tensor | None:
    """Fill `out` with c channels of a piece; returns the partial statistics, (b, split, 2, c), of a norm."""
    y, gamma, beta = tensors
    b, _, h, w = y.shape
    tile, part = launch(b, c, h * w), None
    if piece.eps is not None:
        part = torch.empty(b, tile.split, 2, c, device=y.device)
        grid = (b, tile.blocks(c), tile.split)
        shape = {"R": tile.rows, "BC": tile.channels, "num_warps": WARPS}
        kernels.measure[grid](*_source(y), part, w, h * w, c, tile.split, **shape)
    grid = (tile.tiles(out.shape[2] * out.shape[3]), tile.blocks(out.shape[1]), b)
    flags = _flags(unit, piece, tile) | {"HAS": residual is not None, "TILES": TILES}
    sizes = (h, w, c, out.shape[1], tile.split, unit.slope, piece.eps or 0.0)
    kernels.finish[grid](*_source(y), part, gamma, beta, *_place(residual, y), *_place(out, y), *sizes, **flags)
    return part


def _back(
    unit: Unit,
    piece: Piece,
    tensors: Sequence[Any],
    part: Tensor | None,
    outer: Tensor | None,
    inner: Tensor | None,
    c: int,
    residual_dtype: torch.dtype | None,
) -> tuple[list[Tensor | None], Tensor | None]:
    """Gradients for a piece, its scale and its shift; and for the residual."""
    y, gamma, beta = tensors
    if outer is None:  # only the inner output was used: its gradient is that of a unit without padding
        unit, outer, inner = replace(unit, pad=0), inner, None
    b, _, h, w = y.shape
    tile = launch(b, c, h * w)
    sums = torch.empty(b, tile.split, 2, c, device=y.device)
    for_y = torch.empty(y.shape, dtype=y.dtype, device=y.device, memory_format=LAST)
    for_residual, keep = None, 0 if piece.eps is not None else 2
    if residual_dtype is not None:
        for_residual, keep = torch.empty((b, c, h, w), dtype=residual_dtype, device=y.device, memory_format=LAST), 1
    kept = {0: y, 1: for_residual, 2: for_y}[keep]
    flags = _flags(unit, piece, tile) | {"SMALL": min(h, w) <= 2 * unit.pad + 1, "INNER": inner is not None}
    sizes = (h, w, c, for_y.shape[1], tile.split, unit.slope, piece.eps or 0.0)
    given = (*_source(y), part, gamma, beta, sums)
    grid = (b, tile.blocks(for_y.shape[1]), tile.split)
    kernels.gradient_sums[grid](
        *_place(outer, y), *_place(inner, y), *given, *_place(kept, y), *sizes, **flags, KEEP=keep
    )
    if for_residual is not None:  # the gradient is folded by now
        outer, inner = for_residual, None
        flags |= {"P": 0, "MODE": kernels.NONE, "SMALL": False, "INNER": False}
    if keep != 2:
        grid = (tile.tiles(h * w), tile.blocks(for_y.shape[1]), b)
        kernels.gradient[grid](
            *_place(outer, y), *_place(inner, y), *given, *_place(for_y, y), *sizes, **flags, TILES=TILES
        )
    if gamma is None and beta is None:
        return [for_y, None, None], for_residual
    of_shift, of_scale = sums.sum((0, 1))
    affine = ((gamma, of_scale), (beta, of_shift))
    return [for_y, *(None if at is None else grad.to(at.dtype) for at, grad in affine)], for_residual
