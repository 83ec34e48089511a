"""The paper's scores where one domain is labels (Sec. 5.1.1), for both directions of a model.

They are per-pixel accuracy, mean class accuracy and mean class IoU.

photo -> labels: every pixel of the translation counts as the class of the nearest palette colour, and is compared with
the true labels. labels -> photo, the FCN score: a segmenter trained on real photos reads the translation, and is
compared with the labels it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unpaired.config import DIRECTIONS, Direction
from unpaired.core.device import announce
from unpaired.core.errors import BadInput
from unpaired.core.progress import progress
from unpaired.data.heldout import held_out_batches, open_held_out
from unpaired.data.manifest import read_manifest
from unpaired.evaluation.recipe import load_for_scoring
from unpaired.evaluation.segmenter import NOT_COMPARABLE, Segmenter, same_size, scores
from unpaired.imaging.images import Images
from unpaired.imaging.values import Domain
from unpaired.inference.translator import Translator
from unpaired.metrics.palette import IGNORE, Palette
from unpaired.metrics.segmentation import confusion_matrix


@dataclass(frozen=True)
class Copying:
    """The baseline without a network: the translation is the input itself."""

    direction: Direction = "AtoB"
    directions: tuple[Direction, ...] = DIRECTIONS
    device: torch.device = torch.device("cpu")
    domain_in: Domain = Domain(3)
    domain_out: Domain = Domain(3)

    def to(self, direction: Direction) -> Copying:
        """The same in this direction."""
        return replace(self, direction=direction)

    def translate(self, images: Images) -> Images:
        """The images."""
        return images


def label_scores(
    model: Path | Translator | Copying,
    data: Path,
    segmenter: Segmenter | None,
    limit: int | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Both directions of a model on the test images of a data set of labels.

    Args:
        model: A run, a bundle, or a translator already loaded, which has its own device.
        data: A prepared data set whose `dataset.json` names a palette and whose tests are pairs.
        segmenter: Reads photos; without one, labels -> photo is left out.
        limit: Score this many images, spread evenly.
        device: See `core.device.pick_device`.

    Returns:
        Per direction {"pixel_accuracy", "class_accuracy", "class_iou"}, and `recipe`.

    Raises:
        BadInput: no model, not a data set of labels, or test images that are not pairs.
    """
    translator = load_for_scoring(model, device) if isinstance(model, Path) else model
    manifest = read_manifest(data)
    palette, held_out = Palette.of(manifest, data), open_held_out(data, "yes", limit)
    if isinstance(model, Path):
        announce(translator.device)
    result: dict[str, Any] = {}
    directions: list[Direction] = [each for each in DIRECTIONS if each in translator.directions]
    with progress("scoring", len(directions) * len(held_out.a)) as advance:
        for direction in directions:
            to_labels = direction[-1] == palette.domain
            if not to_labels and segmenter is None:
                continue
            there, sides = translator.to(direction), (held_out.side(direction[0]), held_out.side(direction[-1]))
            total = torch.zeros(len(palette.names), len(palette.names), dtype=torch.long)
            for batch in held_out_batches(sides[0], there.domain_in, sides[1], there.domain_out):
                assert batch.truths is not None  # the tests are pairs
                output = there.translate(batch.inputs)
                if to_labels:
                    found, truth = palette.nearest(output), palette.exact(batch.truths)
                else:
                    assert segmenter is not None  # else the direction is left out
                    found, truth = same_size(_rounded(segmenter, output), palette.exact(batch.inputs))
                total += confusion_matrix(found, truth, len(palette.names), IGNORE)
                advance(len(batch.indices))
            result[direction] = scores(total)
    result["recipe"] = {
        **{"data": manifest.get("name"), "data_sha256": manifest.get("sha256")},
        **{"classes": list(palette.names), "images": len(held_out.a)},
        "photo -> labels": "nearest palette colour; mean over classes pooled over the test set",
        "labels -> photo": f"read by {segmenter.label}: {NOT_COMPARABLE}" if segmenter else "no segmenter given",
        "ceiling": segmenter.facts.get("ceiling") if segmenter else None,
    }
    return result


def _rounded(segmenter: Segmenter, photos: Tensor) -> Tensor:
    """The segmenter's classes for photos rounded to 8 bits, as in a file."""
    try:
        return segmenter(((photos + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1)
    except (RuntimeError, ValueError) as error:
        raise BadInput(f"{segmenter.label}: cannot read photos of {tuple(photos.shape)} ({error})") from error
