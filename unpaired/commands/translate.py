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
) -> None:
    """Translate an image, a folder (its tree is kept) or a pattern; own size, own name, own bit depth.

    Args:
        model: A run's folder or a bundle.
        input: Image, folder or pattern.
        output: Folder, or the name of one image.
        direction: AtoB or BtoA; the first the model has unless given.
    """
    from unpaired.inference import Translator, translate_files

    translate_files(Translator.load(model, direction), input, output)
