"""Pictures through a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from unpaired.config import Direction


def translate(
    model: Annotated[Path, Positional],
    input: Annotated[str, Positional],
    output: Annotated[Path, Positional],
    *,
    direction: Direction | None = None,
    batch: int = 1,
    mask: Path | None = None,
    feather: int = 0,
) -> None:
    """Translate an image, a folder (its tree is kept) or a pattern; own size, own name, own bit depth.

    Args:
        model: A run's folder or a bundle.
        input: Image, folder or pattern; - for standard input.
        output: Folder, or the name of one image; - for standard output.
        direction: AtoB or BtoA; the first the model has unless given.
        batch: Pictures of one size that go through the network together.
        mask: Image, or folder of images named as the pictures; outside of what is light in it nothing is touched.
        feather: Pixels inside the mask's edge over which the translation fades in.
    """
    from unpaired.inference import Options, Translator, translate_files

    options = Options(batch=batch, mask=mask, feather=feather)
    translate_files(Translator.load(model, direction), input, output, options)
