"""Untrusted safetensors files: the header is checked before a tensor is read.

The safetensors library refuses broken headers only after parsing up to a hundred megabytes, accepts one name given
twice, and does not check which tensors a file holds.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unpaired.core.errors import brief
from unpaired.core.safe_text import parse_json

MAX_HEADER = 2**22
"""Bytes; a run's state, with its thousand tensors, takes 200,000."""
MAX_RANK = 8
"""Dimensions of a tensor; those of a convolution's weights are four."""
DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}
KINDS = {b"PK\x03\x04": "a PyTorch or ZIP archive", b"\x80": "a pickle, which could run any code", b"\x08": "ONNX"}
"""Beginnings of files that are often taken for safetensors."""


@dataclass(frozen=True)
class Spec:
    """Type and shape of one tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """Metadata and tensors of a file; the tensors fill the file exactly, without gap or overlap."""

    metadata: dict[str, str]
    tensors: dict[str, Spec]


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file.

    Raises:
        ValueError: it is not one, or its header is not sound.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            kind = next((kind for magic, kind in KINDS.items() if start.startswith(magic)), "no safetensors file")
            raise ValueError(f"{kind}, or cut off: {size} bytes")
        if length > MAX_HEADER:
            raise ValueError(f"a header of {length} bytes; at most {MAX_HEADER} are read")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not text by name")
    ends = {name: _spec(name, entry) for name, entry in header.items()}
    _check_filled(ends, size - 8 - length)
    return Header(metadata, {name: spec for name, (spec, _, _) in ends.items()})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor, copied: a file that changes later changes none of them.

    Raises:
        ValueError: as `read_header`, or what the safetensors library finds.
        OSError: it cannot be read.
    """
    read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, no dict
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def check_fit(header: Header, asked: Mapping[str, Tensor]) -> None:
    """Refuse a file whose tensors differ in names, types or shapes from a network's.

    Args:
        header: The file's header.
        asked: A network's tensors; on the meta device they take no memory.

    Raises:
        ValueError: names the first and both sides.
    """
    wanted = {name: Spec(value.dtype, tuple(value.shape)) for name, value in asked.items()}
    wrong = [name for name in {**wanted, **header.tensors} if wanted.get(name) != header.tensors.get(name)]
    if wrong:
        first, more = min(wrong), f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        found, expected = _words(header.tensors.get(first)), _words(wanted.get(first))
        raise ValueError(
            f"its weights do not fit its settings: {brief(first)} is {found} where {expected} was expected{more}"
        )


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse numbers that nothing can be computed with.

    Raises:
        ValueError: names the first tensor that holds some.
    """
    broken = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(f"{len(broken)} of its tensors hold NaN or infinity, {broken[0]} the first; train it anew")


def _words(spec: Spec | None) -> str:
    return f"{spec.dtype} of shape {brief(spec.shape)}" if spec else "no tensor"


def _spec(name: str, entry: Any) -> tuple[Spec, int, int]:
    """Type and shape of one tensor, and the range of its bytes."""
    try:
        dtype, shape, (begin, end) = DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"its header says of {brief(name)}: {brief(entry)}") from None
    numbers = (*shape, begin, end)
    if len(shape) > MAX_RANK or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ValueError(f"its header gives {brief(name)} the shape or place {brief(numbers)}")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"its header gives {brief(name)} of shape {brief(shape)} {end - begin} bytes")
    return Spec(dtype, shape), begin, end


def _check_filled(ends: dict[str, tuple[Spec, int, int]], size: int) -> None:
    """Refuse overlaps, gaps and bytes that belong to no tensor."""
    at = 0
    for name, (_, begin, end) in sorted(ends.items(), key=lambda item: item[1][1:]):
        if begin != at:
            raise ValueError(f"its header places {brief(name)} at byte {begin}, where {at} was expected")
        at = end
    if at != size:
        raise ValueError(f"its header accounts for {at} of {size} bytes")


def tensors_under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
