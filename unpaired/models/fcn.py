"""A small fully convolutional segmenter, in the manner of FCN-8s (Long, Shelhamer, Darrell, CVPR 2015)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate


@dataclass(frozen=True, kw_only=True)
class FCNConfig:
    """Stages that halve the size, with a score layer each."""

    classes: int
    channels: int = 3
    width: int = 24
    """Feature maps of the first stage; twice as many with every stage, eight times at most."""
    stages: int = 4
    """Halvings. FCN-8s has five and fuses the last three; tiles of 64 px need every scale."""


class FCN(nn.Module):
    """Conv-conv-pool stages; each stage's class scores are added to the enlarged scores of the coarser ones."""

    def __init__(self, cfg: FCNConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = [cfg.channels, *(cfg.width * min(2**n, 8) for n in range(cfg.stages))]
        self.stages = nn.ModuleList(
            nn.Sequential(
                *[nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)],
                *[nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width)],
                nn.ReLU(inplace=True),
            )
            for before, width in zip(widths, widths[1:], strict=False)
        )
        self.scores = nn.ModuleList(nn.Conv2d(width, cfg.classes, 1) for width in widths[1:])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Raw scores of every class at every pixel."""
        size, features = x.shape[2:], []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        total = self.scores[-1](features[-1])
        for score, feature in zip(self.scores[-2::-1], features[-2::-1], strict=True):
            here = score(feature)
            total = here + _resized(total, here.shape[2:])
        return _resized(total, size)


def _resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return interpolate(x, size=size, mode="bilinear", align_corners=False)
