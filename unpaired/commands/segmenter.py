"""The judge of the FCN score, and the score."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional


def segmenter(
    data: Annotated[Path, Positional],
    out: Annotated[Path, Positional],
    *,
    steps: int = 600,
    seed: int = 0,
    width: int = 24,
) -> None:
    """Train the judge of the FCN score on real photos and labels; its own scores on test photos are the ceiling.

    Args:
        data: A data set of labels in pairs (prepare earth --pair satellite-labels --aligned, prepare cityscapes).
        out: The .safetensors file to write.
        steps: Batches of 16 to train for.
        seed: Start of every random choice.
        width: Feature maps of the first stage.
    """
    from unpaired.evaluation.segmenter import train_segmenter

    made = train_segmenter(data, out, steps, seed, width)
    print(json.dumps({"segmenter": str(out), "ceiling": made.facts["ceiling"]}))


def labels(
    model: Annotated[Path, Positional],
    data: Annotated[Path, Positional],
    *,
    segmenter: str | None = None,
    segmenter_weights: Path | None = None,
    segmenter_size: tuple[int, int] | None = None,
    limit: int | None = None,
) -> None:
    """Judge a model on a data set of labels as the paper does: FCN score and Cityscapes metrics, JSON on stdout.

    Args:
        model: A run's folder or a bundle.
        data: Folder with testA and testB, pairs, one of them label images.
        segmenter: What `unpaired segmenter` wrote, or MODULE:FUNCTION of your own, which gets the weight file.
        segmenter_weights: Weight file of your own segmenter.
        segmenter_size: Width and height it reads photos at (the protocol on Cityscapes: 2048 1024).
        limit: Judge only this many images.
    """
    from unpaired.core.errors import BadInput
    from unpaired.evaluation.labels import label_scores
    from unpaired.evaluation.segmenter import foreign_segmenter, load_segmenter

    judge = None
    if segmenter is not None and ":" in segmenter:
        if segmenter_weights is None:
            raise BadInput("--segmenter MODULE:FUNCTION needs --segmenter-weights FILE, which the function is given")
        judge = foreign_segmenter(segmenter, segmenter_weights, segmenter_size)
    elif segmenter is not None:
        judge = load_segmenter(Path(segmenter))
    result = label_scores(model, data, judge, limit)
    print(f"labels -> photo: {result['recipe']['labels -> photo']}", file=sys.stderr)
    print(json.dumps(result))
