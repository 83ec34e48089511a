"""The convolutions of VGG-16 and AlexNet, for LPIPS and feature losses.

Weights are not ours to ship: give torchvision's `vgg16-397923af.pth` or `alexnet-owt-7be5be79.pth`, whose module names
these are.

Source: Simonyan, Zisserman, ICLR 2015 (arXiv:1409.1556); Krizhevsky, One weird trick, 2014 (arXiv:1404.5997).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, for images from 0 to 1."""
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
VGG16_ENDS = (3, 8, 15, 22, 29)
"""After relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
RELU4_2 = 20
ALEXNET_ENDS = (1, 4, 7, 9, 11)
"""After each of the five ReLUs."""


class Trunk(nn.Module):
    """A stack of layers whose intermediate outputs can be read."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def maps(self, images: Float[Tensor, "n 3 h w"], after: Sequence[int]) -> list[Tensor]:
        """Outputs of the layers of these numbers for images in [-1, 1], in order; later layers are not computed."""
        x = ((images + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("deviation")
        found = []
        for number, layer in enumerate(list(self.features)[: max(after) + 1]):
            x = layer(x)
            if number in after:
                found.append(x)
        return found


def vgg16() -> Trunk:
    """Thirteen 3x3 convolutions, each with a ReLU, in five groups with a pooling after each."""
    layers: list[nn.Module] = []
    channels = 3
    for group in VGG16:
        for out in group:
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2))
    return Trunk(layers)


def alexnet() -> Trunk:
    """Five convolutions, each with a ReLU."""
    first = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    second = [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    third = [nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()]
    return Trunk([*first, *second, *third, nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)])
