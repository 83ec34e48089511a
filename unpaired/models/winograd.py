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

from unpaired.models.workspace import Workspace

ROOM = Workspace()
"""Of the transformed values, several times as large as what they are made of."""


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
        b, h, w, _ = x.shape
        rounded = _rounded(self, x.dtype)
        products = _bmm("products", rounded._windows(x), self._kernels(weight, x).transpose(1, 2))
        tiles = _mm("cut", rounded.outputs, products.flatten(1))
        grid = tiles.view(self.m, self.m, b, (h - 2) // self.m, (w - 2) // self.m, len(weight))
        return grid.permute(2, 3, 0, 4, 1, 5).clone(memory_format=torch.contiguous_format).view(b, h - 2, w - 2, -1)

    def gradients(
        self, grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Of `convolve`, given the gradient of its result: for x and for the weight (fp32), each if wanted."""
        rounded = _rounded(self, x.dtype)
        spread = _mm("spread", rounded.outputs.T, _windows(grad, self.m, self.m)).view(self.n**2, -1, grad.shape[3])
        for_x = for_weight = None
        if wanted[0]:
            for_x = rounded._overlap(_bmm("products", spread, self._kernels(weight, x)), x.shape)
        if wanted[1]:
            products = _bmm("products", spread.transpose(1, 2), rounded._windows(x)).flatten(1)
            exact = _rounded(self, weight.dtype).kernel.T
            flat = _mm("cut", exact, _as("products", products, weight)).view(3, 3, *weight.shape[:2])
            for_weight = torch.empty_like(weight).copy_(flat.permute(2, 3, 0, 1))
        return for_x, for_weight

    def _windows(self, x: Tensor) -> Tensor:
        """B^T d B of every window: (n^2, windows, c)."""
        return _mm("windows", self.inputs, _windows(x, self.n, self.m)).view(self.n**2, -1, x.shape[3])

    def _kernels(self, weight: Tensor, x: Tensor) -> Tensor:
        """G g G^T of every kernel, rounded once to x's precision: (n^2, k, c)."""
        flat = ROOM.take("cut", (3, 3, *weight.shape[:2]), weight).copy_(weight.permute(2, 3, 0, 1))
        exact = _mm("kernels", _rounded(self, weight.dtype).kernel, flat.view(9, -1))
        return _as("kernels", exact, x).view(-1, *weight.shape[:2])

    def _overlap(self, windows: Tensor, shape: torch.Size) -> Tensor:
        """Back from transformed windows to what they were cut from: overlapping values are summed."""
        (b, height, width, c), m, n = shape, self.m, self.n
        h, w = (height - 2) // m, (width - 2) // m
        d = _mm("cut", self.inputs.T, windows.flatten(1)).view(n, n, b, h, w, c).permute(2, 3, 0, 4, 1, 5)
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
    return ROOM.take("cut", cut.shape, x).copy_(cut).view(size * size, -1)


def _as(name: str, values: Tensor, like: Tensor) -> Tensor:
    """The values in another's precision, in the room of that name."""
    return values if values.dtype == like.dtype else ROOM.take(name, values.shape, like).copy_(values)


def _mm(name: str, a: Tensor, b: Tensor) -> Tensor:
    """The matrix product, in the room of that name."""
    return torch.mm(a, b, out=ROOM.take(name, (len(a), b.shape[1]), b))


def _bmm(name: str, a: Tensor, b: Tensor) -> Tensor:
    """The same for a batch of matrices."""
    return torch.bmm(a, b, out=ROOM.take(name, (*a.shape[:2], b.shape[2]), b))


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
    bf16, they are not worth it; nor where the chip multiplies bf16 matrices in tiles of its own (AMX). Large tiles
    have kernels of four times the size, which fewer than 32 of them do not repay.
    """
    height, width, channels = x.shape[1] - 2, x.shape[2] - 2, min(weight.shape[:2])
    if x.dtype == torch.bfloat16:
        return SMALL if channels >= 256 and not height % 2 and not width % 2 and not has_amx() else None
    if channels < 64 or height % 2 or width % 2:
        return None
    return LARGE if not height % 4 and not width % 4 and len(x) * height * width >= 32 * 4**2 else SMALL


def has_amx() -> bool:
    """Whether the CPU has matrix tiles for bf16."""
    return bool(getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16"))
