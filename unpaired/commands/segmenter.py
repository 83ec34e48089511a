"""The FCN score: its segmenter, and the score of a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from unpaired.commands.arguments import File, Folder


def segmenter(
    data: Folder, out: File, *, steps: int = 600, seed: int = 0, width: int = 24, device: str = "auto"
) -> None:
    """Train the segmenter of the FCN score.

    It is trained on real photos and labels. Its scores on the test photos are the upper bound of a translation's.

    Args:
        data: A data set of labels in pairs (prepare earth --pair satellite-labels --aligned, prepare cityscapes).
        out: The .safetensors file to write.
        steps: Training steps, each of 16 images.
        seed: Seed of every random number.
        width: Feature maps of the first stage.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.

    Example:
        unpaired segmenter labels64 segmenter.safetensors
    """
    from unpaired.evaluation.segmenter import train_segmenter

    made = train_segmenter(data, out, steps, seed, width, device)
    print(json.dumps({"segmenter": str(out), "ceiling": made.facts["ceiling"]}))


def labels(
    model: Path,
    data: Folder,
    *,
    segmenter: str | None = None,
    segmenter_weights: File | None = None,
    segmenter_size: tuple[int, int] | None = None,
    limit: int | None = None,
    device: str = "auto",
) -> None:
    """Compute FCN score and Cityscapes metrics of a model.

    The result is JSON.

    Args:
        model: A run's folder or a bundle.
        data: Folder with testA and testB, pairs, one of them label images.
        segmenter: File written by `unpaired segmenter`, or MODULE:FUNCTION of your own, called with the weight file.
        segmenter_weights: Weight file of your own segmenter.
        segmenter_size: Width and height of its input (the protocol on Cityscapes: 2048 1024).
        limit: Evaluate only this many images.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.

    Example:
        unpaired labels runs/labels labels64 --segmenter segmenter.safetensors
    """
    from unpaired.core.errors import BadInput
    from unpaired.evaluation.labels import label_scores
    from unpaired.evaluation.segmenter import imported_segmenter, load_segmenter

    network = None
    if segmenter is not None and ":" in segmenter:
        if segmenter_weights is None:
            raise BadInput("--segmenter MODULE:FUNCTION needs --segmenter-weights FILE, which the function is given")
        network = imported_segmenter(segmenter, segmenter_weights, segmenter_size)
    elif segmenter is not None:
        network = load_segmenter(Path(segmenter), device)
    result = label_scores(model, data, network, limit, device)
    print(f"labels -> photo: {result['recipe']['labels -> photo']}", file=sys.stderr)
    print(json.dumps(result))
