"""One direction of a model, or a baseline, gathered image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from unpaired.config import Direction, opposite
from unpaired.core.parallel import side_by_side
from unpaired.core.progress import Advance
from unpaired.data.heldout import HeldOut, HeldOutBatch, held_out_batches
from unpaired.data.manifest import Water
from unpaired.data.sources import ImageFile
from unpaired.imaging.images import Images
from unpaired.imaging.values import Domain
from unpaired.inference.translator import Translator
from unpaired.metrics import bootstrap, swd
from unpaired.metrics.bootstrap import Estimate
from unpaired.metrics.paired import mean_abs_error, psnr, ssim
from unpaired.metrics.segmentation import overlap, water_mask

MODEL = "model"
Transform = Callable[[Images], Images]
Scores = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """What scoring one direction depends on, the same for the model and for every baseline."""

    held_out: HeldOut
    direction: Direction
    levels: list[int]
    """Short sides of the pyramid's levels, for SWD."""
    water: Water | None
    """The colours of water in the target; None where they are unknown."""

    @property
    def source(self) -> tuple[ImageFile, ...]:
        """The files to translate."""
        return self.held_out.side(self.direction[0])

    @property
    def target(self) -> tuple[ImageFile, ...]:
        """Real images of the other domain; the truths, in the same order, where aligned."""
        return self.held_out.side(self.direction[-1])


@dataclass
class ImageScores:
    """The scores of the model or of one baseline in one direction, gathered batch by batch."""

    setting: Setting
    patches: swd.Patches
    per_image: dict[str, np.ndarray] = field(default_factory=dict)

    def add_outputs(self, indices: Sequence[int], outputs: Images, truths: Images | None) -> None:
        """Score a batch of outputs, each by itself."""
        self.patches.add(outputs, indices)
        if truths is None:
            return
        scores = {metric.__name__: metric(outputs, truths) for metric in (mean_abs_error, psnr, ssim)}
        if self.setting.water is not None:
            both = overlap(*(water_mask(images, **self.setting.water) for images in (outputs, truths)))
            scores |= {"water_in_both": both[0], "water_in_either": both[1]}
        self.add(indices, scores)

    def add(self, indices: Sequence[int], scores: dict[str, torch.Tensor]) -> None:
        """Keep a number per image under its name."""
        for name, values in scores.items():
            kept = self.per_image.setdefault(name, np.zeros(len(self.setting.source)))
            kept[list(indices)] = values.cpu().numpy()

    def result(self, real: swd.Patches) -> dict[str, Estimate]:
        """Every number, for these test images and for other draws of them."""
        held_out, direction = self.setting.held_out, self.setting.direction
        groups = (held_out.groups(direction[0]), held_out.groups(direction[-1]))
        found = {
            name: bootstrap.mean(self.per_image[name], groups[0])
            for name in ("mean_abs_error", "psnr", "ssim", "cycle_error")
            if name in self.per_image
        }
        both, either = (self.per_image.get(f"water_in_{which}", np.zeros(1)) for which in ("both", "either"))
        if either.sum():
            found["water_iou"] = bootstrap.ratio(both, either, groups[0])
        distance = swd.distance(self.patches, real, groups, together=held_out.aligned)
        found["swd"] = distance.mean
        return found | {f"swd_{size}px": d for size, d in zip(self.setting.levels, distance.levels, strict=True)}


def score_direction(
    translator: Translator, baselines: dict[str, Transform], setting: Setting, advance: Advance
) -> dict[str, ImageScores]:
    """Every test image of one direction through the model and every baseline."""
    there = translator.to(setting.direction)
    back = translator.to(opposite(setting.direction)) if len(translator.directions) == 2 else None
    shape = len(setting.levels), len(setting.source)
    gathered = {name: ImageScores(setting, swd.Patches(*shape)) for name in (MODEL, *baselines)}

    def score(batch: HeldOutBatch) -> int:
        inputs = batch.inputs.to(there.device)
        truths = None if batch.truths is None else batch.truths.to(there.device)
        translated = there.translate(inputs)
        gathered[MODEL].add_outputs(batch.indices, translated, truths)
        if back is not None:
            gathered[MODEL].add(batch.indices, {"cycle_error": mean_abs_error(back.translate(translated), inputs)})
        for name, baseline in baselines.items():
            gathered[name].add_outputs(batch.indices, baseline(batch.inputs).to(there.device), truths)
        return len(batch.indices)

    truths = setting.target if setting.held_out.aligned else None
    batches = held_out_batches(setting.source, there.domain_in, truths, there.domain_out)
    for count in side_by_side(score, batches):
        advance(count)
    return gathered


def real_patches(domain: Domain, setting: Setting, advance: Advance) -> swd.Patches:
    """Neighbourhoods of the target's real test images, with which the model and every baseline are compared."""
    patches = swd.Patches(len(setting.levels), len(setting.target))

    def gather(batch: HeldOutBatch) -> int:
        patches.add(batch.inputs, batch.indices)
        return len(batch.indices)

    for count in side_by_side(gather, held_out_batches(setting.target, domain, None, domain)):
        advance(count)
    return patches
