"""The few layers that every network here is made of."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d
from torch.nn.modules.batchnorm import _BatchNorm

from unpaired.config.networks import Norm
from unpaired.models.spatial import Convolve, Expand, Rule, rules_of


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """One normalisation layer; "none" keeps its place so that later modules keep their index.

    InstanceNorm has no affine part and no running statistics, as in the official PyTorch code, so a
    network behaves the same in training and evaluation.
    """
    return {"instance": InstanceNorm2d, "batch": nn.BatchNorm2d, "none": nn.Identity}[norm](channels)


class InstanceNorm2d(nn.InstanceNorm2d):
    """nn.InstanceNorm2d with the right gradient in channels_last.

    For a single image on a CPU, torch's backward pass reads a channels_last gradient as if it were contiguous (seen in
    torch 2.13), so it is made contiguous first.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Same shape in and out."""
        output = super().forward(input)
        if output.requires_grad and output.device.type == "cpu":
            output.register_hook(Tensor.contiguous)
        return output


def has_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm carries a bias: the official code's rule."""
    return norm == "instance"


@contextmanager
def fixed_statistics(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Inside, BatchNorm normalises by the batch as before, but its running mean and variance stay as they are."""
    norms = [m for network in networks.values() for m in network.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


class Dropout(nn.Dropout):
    """nn.Dropout whose noise may come from outside, or be drawn in one pass and applied again in another."""

    given: Tensor | None = None
    """Noise for the next pass, from `draw`; a checkpointed block applies it in both of its passes."""
    kept: deque[Tensor] | None = None
    """Noise of the passes under `kept_noise`, in their order; None elsewhere."""
    repeats = False
    """Whether passes take the noise from `kept`."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape in and out."""
        noise = self.draw(input) if self.given is None else self.given
        return input if noise is None else input * noise.to(input.dtype)

    def draw(self, like: Tensor) -> Tensor | None:
        """The noise of a pass on such a tensor: zero or 1 / (1 - p). None where nothing is dropped."""
        if not self.training:
            return None
        noise = self.kept.popleft() if self.repeats and self.kept else self._noise(like)
        if len(noise) < len(like):  # a pass on more images than the first one had
            noise = torch.cat([noise, self._noise(like[len(noise) :])])
        if self.kept is not None and not self.repeats:
            self.kept.append(noise)
        return noise

    def _noise(self, like: Tensor) -> Tensor:
        return torch.empty_like(like, requires_grad=False).bernoulli_(1 - self.p).div_(1 - self.p)  # as torch on a CPU


@contextmanager
def kept_noise(networks: Mapping[str, nn.Module]) -> Iterator[Callable[[], None]]:
    """Inside, dropout keeps its noise; after a call of what this yields, passes in the same order repeat it.

    Random states are left alone, so that both passes can be recorded in one CUDA graph.
    """
    layers = [m for network in networks.values() for m in network.modules() if isinstance(m, Dropout)]
    for layer in layers:
        layer.kept = deque()

    def repeat() -> None:
        for layer in layers:
            layer.repeats = True

    try:
        yield repeat
    finally:
        for layer in layers:
            layer.kept, layer.repeats = None, False


class ResizeConv(nn.Sequential):
    """Twice the size by bilinear interpolation, then a 3x3 convolution: no checkerboard.

    Replaces a stride-1/2 convolution whose kernel does not divide evenly by its stride
    (Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016).
    """

    def __init__(self, channels: int, out_channels: int, bias: bool) -> None:
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        conv = nn.Conv2d(channels, out_channels, 3, bias=bias)
        super().__init__(OrderedDict(up=up, pad=nn.ReflectionPad2d(1), conv=conv))


class BlurDown(nn.Module):
    """Half the size without aliasing: a 3x3 binomial blur at stride 2 (Zhang, ICML 2019), as in CUT's generator."""

    is_leaf = True  # one operation of a network, though it is made of others
    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.register_buffer("filt", _binomial((1, 2, 1), 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, channels, h / 2, w / 2)."""
        return conv2d(self.pad(x), self.filt, stride=2, groups=x.shape[1])

    def spatial_rules(self) -> list[Rule]:
        """The mirrored border, then every second place of a convolution."""
        return [*rules_of(self.pad), Convolve(self.filt, None, (2, 2), (0, 0), groups=len(self.filt))]


class BlurUp(nn.Module):
    """Twice the size by zero insertion and a 4x4 binomial blur, as in CUT's generator: no checkerboard."""

    is_leaf = True
    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = nn.ReplicationPad2d(1)
        self.register_buffer("filt", _binomial((1, 3, 3, 1), 4, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, channels, 2h, 2w)."""
        return conv_transpose2d(self.pad(x), self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]

    def spatial_rules(self) -> list[Rule]:
        """The repeated border, then a transposed convolution less its padding of 2 and the pixel that is cut off."""
        return [*rules_of(self.pad), Expand(self.filt, None, (2, 2), (3, 3), groups=len(self.filt))]


class ConvBlur(nn.Sequential):
    """A 3x3 convolution, then half the size by `BlurDown`, in place of a stride-2 convolution."""

    def __init__(self, channels: int, out_channels: int, bias: bool) -> None:
        conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)
        super().__init__(OrderedDict(conv=conv, blur=BlurDown(out_channels)))


class BlurConv(nn.Sequential):
    """Twice the size by `BlurUp`, then a 3x3 convolution, in place of a stride-1/2 convolution."""

    def __init__(self, channels: int, out_channels: int, bias: bool) -> None:
        conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)
        super().__init__(OrderedDict(blur=BlurUp(channels), conv=conv))


def _binomial(row: tuple[int, ...], total: int, channels: int) -> Tensor:
    """The separable filter of a row of Pascal's triangle for each channel, (channels, 1, n, n), each summing to total.

    Plain numbers: arithmetic with tensors of the meta device imports torch._dynamo, which takes seconds.
    """
    factor = total / sum(row) ** 2
    kernel = [[factor * one * other for other in row] for one in row]
    return torch.tensor([[kernel]] * channels)
