"""The numbers people publish, of two folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional


def metrics(
    fake: Annotated[Path, Positional],
    real: Annotated[Path, Positional],
    *,
    features: Literal["efficientnet-lite0", "inception", "dinov2", "clip"] = "efficientnet-lite0",
    weights: Path | None = None,
    resize: Literal["clean", "pytorch-fid", "tensorflow"] = "clean",
    download: bool = False,
    out: Path | None = None,
) -> None:
    """FID, KID, precision, recall, density and coverage of two folders of images: JSON on stdout.

    Args:
        fake: Translations.
        real: Real images of the same domain, kept out of training.
        features: inception gives FID; efficientnet-lite0 needs no download; dinov2 and clip as you have them.
        weights: inception: its .pth file. dinov2, clip: a folder with config.json and model.safetensors.
        resize: clean-fid's way, pytorch-fid's, or TensorFlow's (torch-fidelity's).
        download: Fetch the Inception weights (96 MB) where they are not in the cache.
        out: Also write the JSON to this file.
    """
    import json

    from unpaired.evaluation import write_json
    from unpaired.evaluation.sets import compare_sets

    result = compare_sets(fake, real, features, weights, resize, download)
    if out is not None:
        write_json(result, out)
    for note in result["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(json.dumps(result))
