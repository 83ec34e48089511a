"""DINOv2 and CLIP through the package `transformers`, from a local folder; nothing is fetched, no code comes along."""

from __future__ import annotations

import logging
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unpaired.core.errors import BadInput, brief, shown
from unpaired.core.safe_text import MAX_SETTINGS, read_json
from unpaired.core.safetensors_file import Header, check_finite, read_header

MOST, MOST_LAYERS = 2**20, 1000
"""Any number of a network's settings; layers. The largest published ones have 49,408 words and 40 layers."""


def load_transformer(name: str, folder: Path) -> nn.Module:
    """The network of a folder with config.json and model.safetensors.

    transformers by itself takes as much memory as the settings ask for, and fills what is missing with random numbers.

    Raises:
        BadInput: files that `transformers` cannot make that network of.
    """
    transformers: Any = import_module("transformers")  # by name: a type checker would read all of it, for minutes
    logging.getLogger("transformers").setLevel(logging.ERROR)
    kind = {"dinov2": transformers.Dinov2Model, "clip": transformers.CLIPVisionModelWithProjection}[name]
    try:
        header = read_header(folder / "model.safetensors")
        _check_settings(read_json(folder / "config.json", MAX_SETTINGS))
        with torch.device("meta"):
            draft = kind(kind.config_class.from_pretrained(folder, local_files_only=True))
        _check_size(draft, header)
        options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
        network, info = kind.from_pretrained(folder, **options)
        if info["missing_keys"]:
            raise ValueError(f"model.safetensors: lacks {', '.join(sorted(info['missing_keys'])[:3])}")
        check_finite(network.state_dict())
    except Exception as error:  # settings of a stranger raise anything; whatever it is, the folder is refused
        raise BadInput(f"{folder}: not a {name} that transformers can load ({' '.join(str(error).split())})") from error
    return Embedding(network.eval().requires_grad_(False), projected=name == "clip")


class Embedding(nn.Module):
    """One row of features for each image: CLIP's projected embedding, or the class token of DINOv2."""

    def __init__(self, network: nn.Module, projected: bool) -> None:
        super().__init__()
        self.network, self.projected = network, projected

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, side, side), normalised, to (b, d)."""
        found = self.network(pixel_values=images)
        return found.image_embeds if self.projected else found.last_hidden_state[:, 0]


def _check_settings(values: Any) -> None:
    """Refuse numbers that no published network has, before anything is built of them."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict):
            _check_settings(value)
        most = MOST_LAYERS if "layers" in key else MOST
        if isinstance(value, int | float) and abs(value) > most:
            raise ValueError(f"config.json: {shown(key)} is {brief(value)}, at most {most} was expected")


def _check_size(draft: Any, header: Header) -> None:
    """Refuse settings with more weights than the file holds; their names differ from version to version."""
    asked = sum(value.numel() for value in draft.state_dict().values())
    there = sum(math.prod(spec.shape) for spec in header.tensors.values())
    if asked > there:
        raise ValueError(f"model.safetensors: expected {asked} numbers by its config.json, found {there}")
