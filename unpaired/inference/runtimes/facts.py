"""What an exported file says about itself, and what its graph takes and gives.

Every exported graph has one input, `image`, and one output, `translation`: float32 (batch, height, width, channels)
from 0 to 255, any size. So 8-bit pixels go in as they are in memory, and rounding what comes out gives 8-bit pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from unpaired.config import DIRECTIONS, LONGEST_NAME, DataConfig, Direction
from unpaired.core.errors import BadInput, brief
from unpaired.core.safe_text import parse_json
from unpaired.imaging.images import Array

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
Format = Literal["onnx", "openvino", "pt2"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
OFFERED: dict[Format, tuple[Precision, ...]] = {"onnx": ("fp32",), "openvino": PRECISIONS, "pt2": ("fp32", "bf16")}
"""Precisions of each export format."""
FORMAT = 1
"""Version of the graph's interface and of these facts; newer ones are refused."""
KEY, IMAGE, TRANSLATION = "unpaired", "image", "translation"
"""Where the facts stand in a file's metadata, and the names of the graph's input and output."""
WHITE = 255
LARGEST_MULTIPLE = 2**14
"""Of a network's sides: a U-Net of 14 halvings."""
ELSEWHERE = b"location"
"""The word by which an ONNX file points at weights in another file, anywhere on the disk; no export of ours has it."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is needed to translate with an exported file, and where it came from."""

    direction: Direction
    channels_in: int
    channels_out: int
    precision: Precision
    """Arithmetic the file was made and checked for."""
    size_multiple: int
    """What the network's sides divide by, up to LARGEST_MULTIPLE. The graph pads and cuts by itself."""
    min_size: int
    """The smallest side, up to LARGEST_MULTIPLE."""
    experiment: str
    step: int
    bundle_sha256: str
    """Of the bundle it was exported from."""
    values_a: str = ""
    """Black and white of the files of domain A, as in `data.range_a`; empty for the full scale of their type."""
    values_b: str = ""
    nodata: float | None = None
    """Value of pixels without data, in files that do not name it themselves."""
    domains: tuple[str, str] = ("A", "B")
    """Names of the domains A and B."""
    value_range: tuple[int, int] = (0, WHITE)
    layout: str = "NHWC"
    format: int = FORMAT

    def to_json(self) -> str:
        """One line for a file's metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None, name: str) -> Facts:
        """The inverse of `to_json`; BadInput if absent, of a newer format, or not what this version translates with."""
        if not text:
            raise BadInput(f"{name}: a model, but not one of `unpaired export` (it carries no `{KEY}` metadata)")
        try:
            values = parse_json(text)
            if (version := values["format"]) > FORMAT:
                raise BadInput(f"{name}: format {version}, this version reads up to {FORMAT}; upgrade unpaired")
            facts = cls(**values | {name: tuple(values[name]) for name in ("domains", "value_range")})
        except BadInput:
            raise
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise BadInput(f"{name}: its `{KEY}` metadata cannot be read ({type(error).__name__}: {error})") from error
        known = facts.direction in DIRECTIONS and facts.precision in PRECISIONS and facts.layout == "NHWC"
        counts, sizes = (facts.channels_in, facts.channels_out), (facts.size_multiple, facts.min_size)
        known &= all(type(c) is int and c > 0 for c in counts)
        known &= all(type(size) is int and 0 < size <= LARGEST_MULTIPLE for size in sizes)
        known &= [type(name) for name in facts.domains] == [str, str]
        if not known or facts.value_range != (0, WHITE):
            raise BadInput(f"{name}: its `{KEY}` metadata describes another kind of model ({brief(text)})")
        return facts

    @cached_property
    def data(self) -> DataConfig:
        """What the file says of its domains, as settings."""
        a, b = (name[:LONGEST_NAME] for name in self.domains)
        given = (self.channels_in, self.channels_out)
        channels_a, channels_b = given if self.direction == "AtoB" else given[::-1]
        ranges = {"range_a": self.values_a, "range_b": self.values_b, "nodata": self.nodata}
        return DataConfig(name_a=a, name_b=b, channels_a=channels_a, channels_b=channels_b, **ranges)


def onnx_content(path: Path) -> bytes:
    """The bytes of an ONNX file; raises BadInput if it refers to other files."""
    content = path.read_bytes()
    if ELSEWHERE in content:
        raise BadInput(f"{path}: not a readable model of `unpaired export` (it points at weights in other files)")
    return content


def to_levels(images: Array) -> Array:
    """(b, c, h, w) in [-1, 1] to what a graph takes: (b, h, w, c) from 0 to 255."""
    return np.ascontiguousarray((images.transpose(0, 2, 3, 1) + 1) * (WHITE / 2), np.float32)


def from_levels(levels: Array) -> Array:
    """The inverse of `to_levels`."""
    return np.ascontiguousarray(levels.transpose(0, 3, 1, 2) * np.float32(2 / WHITE) - 1, np.float32)


def through(run: Callable[[Array], Array], images: Array, facts: Facts) -> Array:
    """Images (b, c, h, w) in [-1, 1] through a graph; BadInput if it fails or breaks its facts: it may be hostile."""
    batch, _, height, width = images.shape
    try:
        levels = run(to_levels(images))
    except Exception as error:  # the engines' exceptions share no base
        raise BadInput(f"the exported model failed on {batch}x{height}x{width} ({brief(str(error))})") from error
    expected = (batch, height, width, facts.channels_out)
    if levels.shape != expected or levels.dtype != np.float32:
        raise BadInput(f"the exported model gave {levels.shape} of {levels.dtype}, expected {expected} of float32")
    return from_levels(levels)
