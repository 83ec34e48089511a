"""Export formats, their file names, the precisions of each, and the cache of exports made on demand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from unpaired.config import Direction
from unpaired.core.files import file_sha256
from unpaired.inference.runtimes.facts import FORMAT, Precision

Format = Literal["onnx", "openvino", "pt2"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
OFFERED: dict[Format, tuple[Precision, ...]] = {
    "onnx": ("fp32",),
    "openvino": ("fp32", "bf16", "int8"),
    "pt2": ("fp32", "bf16"),
}


def cached_export(bundle: Path, direction: Direction, format: Format, precision: Precision) -> Path:
    """Path of this bundle's export in the cache, keyed by the bundle's SHA-256; the file may not exist yet."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "unpaired" / "exports" / f"{file_sha256(bundle)[:32]}-{FORMAT}"
    return folder / f"{direction}-{precision}{SUFFIX[format]}"
