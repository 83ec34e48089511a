"""Models that come with the package: bundles, a card each, and an index with their SHA-256.

They stand in `models/` of the repository, and a wheel carries that folder as `unpaired/shipped_models/`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.core.safe_text import read_json

INDEX = "index.json"
FORMAT = 1
PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "shipped_models", PACKAGE.parent / "models")
"""Where a wheel has them, and where a checkout has them."""


@dataclass(frozen=True)
class ShippedModel:
    """One line of the index."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    file: str
    """The bundle's name inside the folder."""
    sha256: str
    domains: tuple[str, str]
    """Names of the domains A and B."""
    summary: str
    """Its task, from A to B and back."""
    size: int
    """Side in pixels of the images it was trained on."""
    licence: str
    """Of its training data."""


_MODELS = TypeAdapter(dict[str, ShippedModel])


def shipped_models() -> dict[str, ShippedModel]:
    """Every model that comes with the package, by name; empty where the folder is missing."""
    folder = shipped_folder()
    return _read_index(folder / INDEX) if folder else {}


def shipped_folder() -> Path | None:
    """The folder of this installation, if it has one."""
    return next((folder for folder in FOLDERS if (folder / INDEX).is_file()), None)


def shipped_file(name: str) -> Path | None:
    """The bundle of the model called `name`; None where no such model comes with the package.

    Raises:
        BadInput: the file is missing, or its content is not that of the index.
    """
    model, folder = shipped_models().get(name), shipped_folder()
    if model is None or folder is None:
        return None
    path = folder / model.file
    if not path.is_file():
        raise BadInput(f"{name}: {path} is missing; install unpaired again")
    if (found := file_sha256(path)) != model.sha256:
        raise BadInput(f"{name}: expected SHA-256 {model.sha256} of {path}, found {found}; install unpaired again")
    return path


def example_file(name: str) -> Path | None:
    """A JPEG of inputs and translations of the model called `name`, if it has one."""
    folder = shipped_folder()
    path = folder / f"{name}.jpg" if folder and name in shipped_models() else None
    return path if path and path.is_file() else None


def offer(name: str) -> str:
    """The models that come with the package, for an error message: the nearest name, or all names."""
    names = list(shipped_models())
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"did you mean {close[0]}, which comes with unpaired?"
    return f"with unpaired come {', '.join(names)}" if names else "no model comes with this installation"


@lru_cache
def _read_index(path: Path) -> dict[str, ShippedModel]:
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        return _MODELS.validate_python(content.get("models"))
    except (ValueError, ValidationError) as error:
        words = str(error).splitlines()[0]
        raise BadInput(f"{path}: not an index of models ({words}); install unpaired again") from error
