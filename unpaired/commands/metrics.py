"""Published metrics of two folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from unpaired.commands.arguments import File, Folder


def metrics(
    fake: Folder,
    real: Folder,
    *,
    features: Literal["efficientnet-lite0", "inception", "dinov2", "clip"] = "efficientnet-lite0",
    weights: Path | None = None,
    resize: Literal["clean", "pytorch-fid", "tensorflow"] = "clean",
    download: bool = False,
    out: File | None = None,
    device: str = "auto",
) -> None:
    """Compute FID, KID, precision and recall of two folders.

    Also density and coverage. The result is JSON.

    Args:
        fake: Translations.
        real: Real images of the same domain that were not used for training.
        features: inception gives FID; efficientnet-lite0 needs no download; dinov2 and clip need --weights.
        weights: inception: its .pth file. dinov2, clip: a folder with config.json and model.safetensors.
        resize: As clean-fid, as pytorch-fid, or as TensorFlow (torch-fidelity).
        download: Fetch the Inception weights (96 MB) if they are not in the cache.
        out: Also write the JSON to this file.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.

    Example:
        unpaired metrics out data/testB
    """
    import json

    from unpaired.evaluation import write_json
    from unpaired.evaluation.sets import compare_sets

    result = compare_sets(fake, real, features, weights, resize, download, device)
    if out is not None:
        write_json(result, out)
    for note in result["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(json.dumps(result))
