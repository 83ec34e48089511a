"""The recipe of an evaluation: everything that its numbers depend on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from unpaired.checkpoints.bundle import bundle_file
from unpaired.core.files import file_sha256
from unpaired.core.version import __version__
from unpaired.data.heldout import HeldOut
from unpaired.data.manifest import domain_names
from unpaired.inference.runtimes import is_exported
from unpaired.inference.scale import advice, is_much_larger
from unpaired.inference.translator import Translator
from unpaired.metrics import bootstrap, swd
from unpaired.metrics.evidence import warning

FORMAT = 1
RESIZE = {
    "own": "none: every image at its own size",
    "train": "both domains to the training size, bicubic, before anything is translated or compared",
}


def load_for_scoring(model: Path | str, device: str = "auto") -> Translator:
    """A model in torch and fp32, independent of the exports in the cache; an exported file in its own engine."""
    exported = is_exported(Path(model))
    runtime, precision = ("auto", None) if exported else ("torch", "fp32")
    return Translator.load(model, runtime=runtime, precision=precision, device=device)


def recipe(
    model: Path | str | Translator,
    translator: Translator,
    held_out: HeldOut,
    sizes: list[tuple[int, int]],
    levels: list[int],
    no_training: bool,
) -> dict[str, Any]:
    """All that the numbers depend on, so that they can be computed again; `sizes` are width and height as compared."""
    file = bundle_file(Path(model)) if isinstance(model, str | Path) else None
    groups = {side: held_out.groups(side) for side in ("A", "B")}
    return {
        "format": FORMAT,
        "unpaired": __version__,
        "torch": str(torch.__version__),
        "model": str(model) if file else "a translator in memory",
        "runtime": translator.runtime.label,
        "model_sha256": file_sha256(file) if file and file.is_file() else None,
        "data": str(held_out.root),
        "data_name": held_out.manifest.get("name"),
        "domains": dict(zip("AB", domain_names(held_out.manifest), strict=True)),
        "data_sha256": held_out.manifest.get("sha256"),
        "n": {"A": len(held_out.a), "B": len(held_out.b)},
        "sizes": dict(Counter(f"{width}x{height}" for width, height in sizes).most_common()),
        "scale": translator.scale,
        "resize": RESIZE[translator.scale],
        "quantisation": "outputs rounded to 8 bits before they are scored; the cycle starts from unrounded ones",
        "aligned": held_out.aligned,
        "aligned_decided": held_out.decided,
        "water": held_out.manifest.get("water"),
        "bootstrap": {"level": bootstrap.LEVEL, "draws": bootstrap.DRAWS, "seed": bootstrap.SEED}
        | {"groups": {side: len(set(g)) if g else None for side, g in groups.items()}},
        "swd": {"levels": levels, "projections": swd.PROJECTIONS, "neighbourhood": swd.SIDE}
        | {"per_image": {side: swd.per_image(len(held_out.side(side))) for side in ("A", "B")}, "seed": 0}
        | {"interval": f"1.96 deviations of {swd.HALVES} half-samples"},
        "notes": _notes(held_out, groups["A"], no_training, translator, sizes),
    }


def _notes(
    held_out: HeldOut,
    groups: list[str] | None,
    no_training: bool,
    translator: Translator,
    sizes: list[tuple[int, int]],
) -> list[str]:
    bundle = translator.bundle
    notes = [few] if (few := warning(held_out.independent)) else []
    notes.append(
        "intervals cover the choice of test images, not the luck of training: train with several seeds for that"
    )
    if bundle is not None and bundle.chosen is not None:
        notes.append(
            f"this is the best of several: step {bundle.step} was kept for {bundle.chosen}; numbers on the images "
            f"that it was chosen by are too favourable: compare it with a best chosen alike, or use other images"
        )
    if bundle is not None and translator.scale == "own":
        larger = sum(is_much_larger(translator.data, *size) for size in sizes)
        notes += [advice(translator.data, larger)] if larger else []
    if held_out.aligned:
        notes.append(f"images of testA and testB are taken for pairs ({held_out.decided}); --paired no if they are not")
    else:
        notes.append(
            f"images of testA and testB are not taken for pairs ({held_out.decided}), so there is no truth to "
            f"compare with: no mean error, PSNR, SSIM or water IoU"
        )
    if groups:
        notes.append(
            f"test images come in groups (tiles that overlap, a patient, a video, pages of one file); intervals draw "
            f"the {len(set(groups))} groups, not single images"
        )
    if no_training:
        notes.append("no trainA and trainB, so mean colour and histogram matching could not be fitted")
    return notes
