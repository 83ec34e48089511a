"""DINOv2 and CLIP through the package `transformers`, from a local folder; nothing is fetched, no code comes along."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from unpaired.errors import BadInput


def load_transformer(name: str, folder: Path) -> Callable[[Tensor], Tensor]:
    """The network of a folder with config.json and model.safetensors.

    Raises:
        BadInput: files that `transformers` cannot make that network of.
    """
    transformers: Any = import_module("transformers")  # by name: a type checker would read all of it, for minutes
    logging.getLogger("transformers").setLevel(logging.ERROR)
    kind = {"dinov2": transformers.Dinov2Model, "clip": transformers.CLIPVisionModelWithProjection}[name]
    try:
        network = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadInput(f"{folder}: not a {name} that transformers can load ({' '.join(str(error).split())})") from error
    network.eval().requires_grad_(False)
    if name == "clip":
        return lambda images: network(pixel_values=images).image_embeds
    return lambda images: network(pixel_values=images).last_hidden_state[:, 0]
