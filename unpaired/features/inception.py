"""The field's Inception-v3: TensorFlow's of 2015-12-05, whose 2048 features FID and KID are defined on.

Weights are not ours to ship: give the file `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid or torch-fidelity's
`weights-inception-2015-12-05-6726825d.pth`; both hold the same 1008-class network, and module names here are theirs.
It differs from other Inception-v3s in what pooling does at borders and in the last block's pooling: with any other
network the number is not FID.

Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, CVPR 2016 (arXiv:1512.00567).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Kernel = int | tuple[int, int]
Step = tuple[str, int, Kernel, int]
"""A convolution: its name, channels out, kernel, stride."""
Chain = Sequence["Step | list[Step]"]
"""Convolutions one after another; a list is a fork, whose outputs are joined."""
Pool = Literal["mean", "max", "max, half size"]


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, out: int, kernel: Kernel, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(channels, out, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, out, ...)."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Chains of convolutions and a pooled one side by side, joined along the channels."""

    def __init__(self, channels: int, chains: Sequence[Chain], pool: Pool, pooled: int = 0) -> None:
        super().__init__()
        self.chains: list[list[list[str]]] = []
        self.pool: Pool = pool
        for chain in chains:
            names, width = [], channels
            for step in chain:
                fork = step if isinstance(step, list) else [step]
                for name, out, kernel, stride in fork:
                    self.add_module(name, Conv(width, out, kernel, stride))
                names.append([name for name, *_ in fork])
                width = sum(out for _, out, *_ in fork)
            self.chains.append(names)
        self.branch_pool = Conv(channels, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """All branches of x, joined."""
        found = []
        for chain in self.chains:
            y = x
            for fork in chain:
                y = torch.cat([self.get_submodule(name)(y) for name in fork], 1)
            found.append(y)
        return torch.cat([*found, self.branch_pool(self._pool(x))], 1)

    def _pool(self, x: Tensor) -> Tensor:
        if self.pool == "mean":  # TensorFlow leaves padding out of the mean
            return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return functional.max_pool2d(x, 3, 1, 1) if self.pool == "max" else functional.max_pool2d(x, 3, 2)


def mixed_35(channels: int, pooled: int) -> Mixed:
    """A block of the 35 x 35 maps."""
    five = [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)]
    return Mixed(channels, [[("branch1x1", 64, 1, 1)], five, _double(1)], "mean", pooled)


def mixed_17(channels: int, inner: int) -> Mixed:
    """A block of the 17 x 17 maps: 7 x 7 as 1 x 7 and 7 x 1."""
    wide, tall = (1, 7), (7, 1)
    seven = [("branch7x7_1", inner, 1, 1), ("branch7x7_2", inner, wide, 1), ("branch7x7_3", 192, tall, 1)]
    kernels = enumerate((1, tall, wide, tall, wide), 1)
    double = [(f"branch7x7dbl_{k}", 192 if k == 5 else inner, kernel, 1) for k, kernel in kernels]
    return Mixed(channels, [[("branch1x1", 192, 1, 1)], seven, double], "mean", 192)


def mixed_8(channels: int, pool: Pool) -> Mixed:
    """A block of the 8 x 8 maps: 3 x 3 forked into 1 x 3 and 3 x 1."""
    fork: list[Step] = [("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1)]
    double: list[Step] = [("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1)]
    start = [("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1)]
    chains: list[Chain] = [[("branch1x1", 320, 1, 1)], [("branch3x3_1", 384, 1, 1), fork], [*start, double]]
    return Mixed(channels, chains, pool, 192)


def _double(stride: int) -> Chain:
    return [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, stride)]


class Inception(nn.Module):
    """(n, 3, 299, 299) in [-1, 1] to (n, 2048): the means of the last maps."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, padded=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = mixed_35(192, 32), mixed_35(256, 64), mixed_35(288, 64)
        self.Mixed_6a = Mixed(288, [[("branch3x3", 384, 3, 2)], _double(2)], "max, half size")
        self.Mixed_6b, self.Mixed_6c = mixed_17(768, 128), mixed_17(768, 160)
        self.Mixed_6d, self.Mixed_6e = mixed_17(768, 160), mixed_17(768, 192)
        three: Chain = [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)]
        seven = [("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, (1, 7), 1), ("branch7x7x3_3", 192, (7, 1), 1)]
        self.Mixed_7a = Mixed(768, [three, [*seven, ("branch7x7x3_4", 192, 3, 2)]], "max, half size")
        self.Mixed_7b, self.Mixed_7c = mixed_8(1280, "mean"), mixed_8(2048, "max")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2048"]:
        """The features, without the classes."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(functional.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
