"""Names for the models that are served."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from unpaired.checkpoints.shipped import offer, shipped_models
from unpaired.core.errors import BadInput

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def named_models(models: Sequence[str]) -> dict[str, Path]:
    """Names and paths of models given as PATH or NAME=PATH; a run is named by its folder, a bundle by its file.

    A path may also be the name of a model that comes with the package; with no model at all, every such model counts.

    Raises:
        BadInput: no model, a name that is odd or given twice, or nothing at a path.
    """
    found: dict[str, Path] = {}
    for model in models or shipped_models():
        name, equals, path = model.partition("=")
        path = Path(path if equals else model)
        name = name if equals else _name(path)
        if not NAME.fullmatch(name):
            raise BadInput(f"{model}: expected a name of letters, digits, dots, dashes or underscores, found {name!r}")
        if name in found:
            raise BadInput(f"{model}: there is another model named {name}; give NAME=PATH")
        if not path.exists() and str(path) not in shipped_models():
            raise BadInput(f"{path}: no such file or folder; expected a run's folder or a bundle; {offer(str(path))}")
        found[name] = path
    if not found:
        raise BadInput("serve: expected at least one model, and none comes with this installation")
    return found


def _name(path: Path) -> str:
    path = path.absolute()
    name = path.parent.name if path.stem == "bundle" else path.name if path.is_dir() else path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:64] or "model"
