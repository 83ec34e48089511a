"""The segmenter of the FCN score: predicts the classes of a real photo, trained on real photos and labels.

A translation labels -> photo is good if the segmenter finds the labels it was made from (CycleGAN Sec. 5.1.1). How well
it does on real photos is the ceiling of that score. The paper's segmenter is a Caffe FCN-8s; scores from another one
are not comparable with the paper's, and `Segmenter.label` names it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from unpaired.core.device import announce, pick_device
from unpaired.core.errors import BadInput, brief, shown
from unpaired.core.files import written_whole
from unpaired.core.progress import progress
from unpaired.core.safe_text import parse_json
from unpaired.core.safetensors_file import check_finite, check_fit, read_header, read_tensors
from unpaired.data.folders import domain_files
from unpaired.data.heldout import open_held_out
from unpaired.data.manifest import read_manifest
from unpaired.data.sources import ImageFile
from unpaired.imaging.images import Images, read_image, to_tensor, with_channels
from unpaired.metrics.palette import IGNORE, Palette
from unpaired.metrics.segmentation import confusion_matrix, mean_class_accuracy, mean_class_iou, pixel_accuracy
from unpaired.models.fcn import FCN, FCNConfig

FORMAT, NAME = "unpaired segmenter 1", "FCN of unpaired"
BATCH, RATE = 16, 2e-3
MOST, MOST_STAGES = 2**16, 16
"""Feature maps, classes and stages of a network that is read from a file; beyond are mistakes."""
NOT_COMPARABLE = "not comparable with the paper's numbers, whose segmenter is a Caffe FCN-8s"
Size = tuple[int, int]


@dataclass(frozen=True)
class Segmenter:
    """Photos in, class numbers out."""

    classify: Callable[[Images], Tensor]
    """(b, 3, h, w) in [-1, 1] to scores (b, classes, h, w), classes in the palette's order."""
    label: str
    """Name of the network, for the tables."""
    facts: dict[str, Any]
    """What is known of it: its own scores on real test photos, and how it was trained."""
    size: Size | None = None
    """Width and height that photos are brought to before they are segmented; their own unless given."""
    device: torch.device = torch.device("cpu")
    """Where `classify` runs. Photos may come from any device."""

    @torch.inference_mode()
    def __call__(self, photos: Images) -> Tensor:
        """Class numbers, (b, h, w), at the photos' own size or at `size`, on the CPU."""
        photos = photos.to(self.device)
        if self.size is not None:
            width, height = self.size
            photos = interpolate(photos, size=(height, width), mode="bilinear", antialias=True).clamp(-1, 1)
        return self.classify(photos).argmax(1).cpu()


def train_segmenter(
    data: Path, out: Path, steps: int = 600, seed: int = 0, width: int = 24, device: str = "auto"
) -> Segmenter:
    """Train on the real pairs of trainA and trainB, write `out`, and measure it on the real test photos.

    Arguments as of `unpaired segmenter`. Half of the batches of 16 tiles are mirrored; the learning rate falls
    linearly to zero. Raises `BadInput` for what is no data set of labels, or training folders without pairs.
    """
    palette = Palette.of(read_manifest(data), data)
    photos, truths = _pairs(data, palette)
    torch.manual_seed(seed)
    cfg, place = FCNConfig(classes=len(palette.names), width=width), pick_device(device)
    announce(place)
    network = FCN(cfg).to(place)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    with progress("training the segmenter", steps) as advance:
        for _ in range(steps):
            chosen = torch.randint(len(photos), (min(BATCH, len(photos)),))
            images, labels = photos[chosen].to(place), truths[chosen].to(place)
            if torch.rand(()) < 0.5:
                images, labels = images.flip(3), labels.flip(2)
            loss = cross_entropy(network(images), labels, ignore_index=IGNORE)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            advance(note=f"loss {loss.item():.3f}")
    facts = {"network": asdict(cfg), "classes": list(palette.names), "data": read_manifest(data).get("sha256")}
    segmenter = Segmenter(network.eval(), NAME, facts | {"steps": steps, "seed": seed}, device=place)
    segmenter.facts["ceiling"] = ceiling(segmenter, data)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as part:
        save_file(network.state_dict(), part, {"format": FORMAT, "facts": json.dumps(segmenter.facts)})
    return segmenter


def load_segmenter(path: Path, device: str = "auto") -> Segmenter:
    """Load a file of `train_segmenter`. Its tensors are compared with its settings before memory is allocated.

    Raises `BadInput` without such a file, or for what is no segmenter of this package.
    """
    try:
        header = read_header(path)
        if header.metadata.get("format") != FORMAT:
            raise BadInput(f"{path}: expected a file that `unpaired segmenter` wrote, found another safetensors file")
        facts = parse_json(header.metadata["facts"])
        network = _draft(facts["network"])
        check_fit(header, network.state_dict())
        tensors = read_tensors(path)
        check_finite(tensors)
    except BadInput:
        raise
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadInput(f"{path}: expected a file that `unpaired segmenter` wrote ({shown(error)})") from error
    network.load_state_dict(tensors, assign=True)
    place = pick_device(device)
    return Segmenter(network.eval().to(place), NAME, facts, device=place)


def _draft(settings: Mapping[str, int]) -> FCN:
    """The network of a file's settings, without memory for its weights; `ValueError` or `TypeError` if it is none."""
    cfg = FCNConfig(**settings)
    if not all(type(value) is int and 1 <= value <= MOST for value in asdict(cfg).values()) or cfg.stages > MOST_STAGES:
        raise ValueError(f"a network of {brief(settings)}")
    with torch.device("meta"):
        return FCN(cfg)


def imported_segmenter(name: str, weights: Path, size: Size | None) -> Segmenter:
    """A segmenter of the user's own: `module:function`, called with the weight file, gives `Segmenter.classify`.

    Raises `BadInput` without such a module or function, or without the weight file.
    """
    module, _, function = name.partition(":")
    if not weights.is_file():
        raise BadInput(f"--segmenter-weights: no such file: {weights}")
    try:
        classify = getattr(importlib.import_module(module), function)(weights)
    except (ImportError, AttributeError) as error:
        raise BadInput(f"--segmenter: expected MODULE:FUNCTION that can be imported, got {name} ({error})") from error
    return Segmenter(classify, f"{name} with {weights.name}", {}, size)


def ceiling(segmenter: Segmenter, data: Path) -> dict[str, float]:
    """The segmenter's scores on the real test photos: what no translation can be expected to pass."""
    palette, held_out = Palette.of(read_manifest(data), data), open_held_out(data, "yes")
    photos, labels = (held_out.a, held_out.b) if palette.domain == "B" else (held_out.b, held_out.a)
    total = torch.zeros(len(palette.names), len(palette.names), dtype=torch.long)
    for photo, label in zip(photos, labels, strict=True):
        truth = palette.exact(_read(label)[None])
        total += confusion_matrix(*same_size(segmenter(_read(photo)[None]), truth), len(palette.names), IGNORE)
    return scores(total)


def same_size(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both at the size of `predicted`, the truth by its nearest pixel."""
    if predicted.shape != truth.shape:
        truth = interpolate(truth[:, None].float(), size=predicted.shape[1:], mode="nearest")[:, 0].long()
    return predicted, truth


def scores(confusion: Tensor) -> dict[str, float]:
    """The three numbers of Tables 2 to 5."""
    pixels, classes, iou = (score(confusion) for score in (pixel_accuracy, mean_class_accuracy, mean_class_iou))
    return {"pixel_accuracy": round(pixels, 5), "class_accuracy": round(classes, 5), "class_iou": round(iou, 5)}


def _pairs(data: Path, palette: Palette) -> tuple[Tensor, Tensor]:
    """All training photos (n, 3, h, w), and their labels (n, h, w)."""
    labels_in, photos_in = f"train{palette.domain}", f"train{'A' if palette.domain == 'B' else 'B'}"
    photos, labels = ({path.name: path for path in domain_files(data, side)} for side in (photos_in, labels_in))
    if photos.keys() != labels.keys():
        raise BadInput(
            f"{data}: a segmenter learns from pairs: expected {photos_in} and {labels_in} to hold the same names, "
            f"found {len(photos.keys() ^ labels.keys())} alone; `unpaired prepare earth --aligned` makes pairs"
        )
    names = sorted(photos)
    try:
        images = torch.stack([_read(photos[name]) for name in names])
        truths = torch.stack([palette.exact(_read(labels[name])[None])[0] for name in names])
    except RuntimeError as error:
        raise BadInput(f"{data}: expected training images of one size ({error})") from error
    return images, truths


def _read(path: ImageFile) -> Tensor:
    return to_tensor(with_channels(read_image(path).pixels, 3))
