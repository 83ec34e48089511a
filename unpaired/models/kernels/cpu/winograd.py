"""3x3 convolutions with fewer multiplications (Lavin and Gray, arXiv:1509.09308).

A tile of m x m outputs is Y = A^T [(G g G^T) * (B^T d B)] A, where d is the (m + 2)^2 window under it, g the kernel and
* the product element by element. Summed over channels the products become (m + 2)^2 matrix products, with
9 m^2 / (m + 2)^2 times fewer multiplications: 2.25 for m = 2, 4 for m = 4. The gradients are the same sums read
backwards. Tensors here are (b, h, w, c).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

CACHED = 5 * 2**19
"""Bytes that are written and read again soon: a half of what a core can call its own."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """One tile size and its transforms, each laid out for a whole tile: kron(M, M) acts on rows and columns."""

    m: int
    """Side of a tile of outputs."""
    outputs: Tensor
    """kron(A^T, A^T): (m^2, n^2) with n = m + 2."""
    kernel: Tensor
    """kron(G, G): (n^2, 9)."""
    inputs: Tensor
    """kron(B^T, B^T): (n^2, n^2)."""

    @property
    def n(self) -> int:
        """Side of the window under a tile."""
        return self.m + 2

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """(b, h + 2, w + 2, c) and (k, c, 3, 3) to (b, h, w, k); h and w must divide by m."""
        b, m, rounded = len(x), self.m, _rounded(self, x.dtype)
        h, w = (x.shape[1] - 2) // m, (x.shape[2] - 2) // m
        windows, out = rounded._windows(x), x.new_empty(b, h, m, w, m, len(weight))
        for some in self._slices(weight, x):
            products = torch.bmm(windows, self._kernels(weight[some], x).transpose(1, 2))
            tiles = (rounded.outputs @ products.flatten(1)).view(m, m, b, h, w, -1)
            out[..., some] = tiles.permute(2, 3, 0, 4, 1, 5)
        return out.view(b, h * m, w * m, -1)

    def gradients(
        self, grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Of `convolve`, given the gradient of its result: for x and for the weight (fp32), each if wanted."""
        rounded = _rounded(self, x.dtype)
        spread = (rounded.outputs.T @ _windows(grad, self.m, self.m)).view(self.n**2, -1, grad.shape[3])
        for_x = for_weight = None
        if wanted[0]:
            summed = x.new_empty(*spread.shape[:2], x.shape[3])
            for k, some in enumerate(self._slices(weight, x)):
                torch.baddbmm(summed, spread[..., some], self._kernels(weight[some], x), beta=int(k > 0), out=summed)
            for_x = rounded._overlap(summed, x.shape)
        if wanted[1]:
            windows, exact = rounded._windows(x), _rounded(self, weight.dtype).kernel.T
            for_weight = torch.empty_like(weight)
            for some in self._slices(weight, x):
                products = torch.bmm(spread[..., some].transpose(1, 2), windows).flatten(1)
                flat = (exact @ products.to(weight.dtype)).view(3, 3, -1, x.shape[3])
                for_weight[some] = flat.permute(2, 3, 0, 1)
        return for_x, for_weight

    def _slices(self, weight: Tensor, x: Tensor) -> list[slice]:
        """Some of the kernels at a time: as many as stay in the chip's cache once they are transformed.

        All at once where sums are not as exact as what is summed, since those for x go on from one slice to the next.
        """
        each = self.n**2 * weight[0, :, 0, 0].nbytes
        step = max(1, CACHED // each) if x.dtype == weight.dtype else len(weight)
        return [slice(k, k + step) for k in range(0, len(weight), step)]

    def _windows(self, x: Tensor) -> Tensor:
        """B^T d B of every window: (n^2, windows, c)."""
        return (self.inputs @ _windows(x, self.n, self.m)).view(self.n**2, -1, x.shape[3])

    def _kernels(self, weight: Tensor, x: Tensor) -> Tensor:
        """G g G^T of every kernel, rounded once to x's precision: (n^2, k, c)."""
        flat = weight.permute(2, 3, 0, 1).reshape(9, -1)
        return (_rounded(self, weight.dtype).kernel @ flat).to(x.dtype).view(-1, *weight.shape[:2])

    def _overlap(self, windows: Tensor, shape: torch.Size) -> Tensor:
        """Back from transformed windows to what they were cut from: overlapping values are summed."""
        (b, height, width, c), m, n = shape, self.m, self.n
        h, w = (height - 2) // m, (width - 2) // m
        d = (self.inputs.T @ windows.flatten(1)).view(n, n, b, h, w, c).permute(2, 3, 0, 4, 1, 5)
        whole = d.new_empty(b, h + 1, m, w + 1, m, c)
        whole[:, :h, :, :w] = d[:, :, :m, :, :m]
        whole[:, h:] = 0
        whole[:, :h, :, w:] = 0
        for top, left in ((0, 1), (1, 0), (1, 1)):  # the last two rows and columns reach into the next tile
            part = d[:, :, top * m : n if top else m, :, left * m : n if left else m]
            whole[:, top : top + h, : part.shape[2], left : left + w, : part.shape[4]] += part
        return whole.view(b, m * (h + 1), m * (w + 1), c)[:, :height, :width]


@cache
def _rounded(tiles: Tiles, dtype: torch.dtype) -> Tiles:
    """The same transforms in the precision of what they are applied to."""
    return Tiles(tiles.m, *(matrix.to(dtype) for matrix in (tiles.outputs, tiles.kernel, tiles.inputs)))


def _windows(x: Tensor, size: int, step: int) -> Tensor:
    """Every size x size window, a row per place in it: (size^2, windows * c)."""
    cut = x.unfold(1, size, step).unfold(2, size, step).permute(4, 5, 0, 1, 2, 3)
    return cut.reshape(size * size, -1)


def _tiles(m: int, points: list[float]) -> Tiles:
    """Toom and Cook's construction: products of polynomials known at m + 1 points and at infinity."""
    n = m + 2

    def powers(count: int) -> Tensor:
        rows = [[point**k for k in range(count)] for point in points]
        return torch.tensor([*rows, [0.0] * (count - 1) + [1.0]], dtype=torch.float64)

    scale = torch.ones(n, 1, dtype=torch.float64)
    for k, point in enumerate(points):
        for other in points[:k] + points[k + 1 :]:
            scale[k] *= point - other
    a, g, b = powers(m).T, powers(3) / scale, torch.linalg.inv(powers(n)).T * scale
    return Tiles(m, *(torch.kron(matrix.contiguous(), matrix.contiguous()) for matrix in (a, g, b)))


SMALL = _tiles(2, [0, 1, -1])
"""m = 2: one to two bits coarser than the direct sum."""
LARGE = _tiles(4, [0, 1, -1, 2, -0.5])
"""m = 4: for fp32 and finer; these points round least."""


def tiles_for(x: Tensor, weight: Tensor) -> Tiles | None:
    """The tiles that are faster than the direct sum for x (b, h + 2, w + 2, c), or None.

    The matrix products cost tiles x channels^2, the transforms tiles x channels: below 64 channels in fp32, 256 in
    bf16, they are not worth it; nor where the chip multiplies bf16 matrices in hardware tiles (AMX). Transforming
    the kernels costs the same for any number of pixels, and most for large tiles: 256 in fp32 repay it, 512 in bf16,
    512 those of large tiles.
    """
    height, width, channels = x.shape[1] - 2, x.shape[2] - 2, min(weight.shape[:2])
    pixels, half = len(x) * height * width, x.dtype == torch.bfloat16
    if channels < (256 if half else 64) or pixels < (512 if half else 256) or height % 2 or width % 2:
        return None
    if half:
        return None if has_amx() else SMALL
    return LARGE if not height % 4 and not width % 4 and pixels >= 512 else SMALL


def has_amx() -> bool:
    """Whether the CPU has matrix tiles for bf16."""
    return bool(getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16"))
