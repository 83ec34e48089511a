"""Data sets and how each is made: one file per source."""

from __future__ import annotations

from importlib import util
from pathlib import Path

from unpaired.core.errors import BadInput


def package_folder(command: str, package: str, module: str) -> Path:
    """Where an installed package keeps its images; raises `BadInput` where it is not installed."""
    parent = module.rpartition(".")[0]
    spec = util.find_spec(module) if not parent or util.find_spec(parent) else None
    if spec is None or not spec.submodule_search_locations:
        words = f"the images come in the package {package}, which is not installed"
        raise BadInput(f"{command}: {words}; run `pip install {package}`")
    return Path(spec.submodule_search_locations[0])
