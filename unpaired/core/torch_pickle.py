"""Other tools' weight files (`.pth`): the one place where torch reads or writes its pickled format.

Only tensors and plain containers come out of it (`weights_only=True`), there is no second try with fewer checks, and
what a file unpacks to is bounded by its own size. Everything else in this package is safetensors and JSON.
"""

from __future__ import annotations

import re
import stat
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unpaired.core.errors import BadInput, shown
from unpaired.core.files import written_whole

MAX_BYTES = 2 * 1024**3
"""Largest file read; a published generator has 11 million weights, 45 MB."""
WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model")
"""Names under which training tools keep the weights of a larger checkpoint."""
MOST_WRAPPERS = 4
"""Wrappers within wrappers that are opened."""
OPTIMIZER = re.compile("optim|sched|scaler", re.IGNORECASE)
"""Names of training state that holds tensors but no weights."""
PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile add to every name."""


def read_pickle(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """The named tensors of a `.pth` file on the CPU, floating ones in fp32, without wrappers and their prefixes.

    Args:
        path: A state_dict saved by torch, of any version, or a checkpoint that holds one.
        max_bytes: Files larger than this are refused unread.

    Raises:
        BadInput: no such file, too large, damaged, not a dictionary of tensors, or holding anything that would have
            to be trusted: code, classes, numbers that are not finite, shapes larger than the file.
    """
    try:
        size = _checked_size(path, max_bytes)
        content = _unpickled(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); expected a .pth file") from error
    tensors = {_plain_name(key): value for key, value in _state(path, content).items()}
    return {key: _owned(path, key, value, size) for key, value in tensors.items()}


def write_pickle(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a raw state_dict of fp32 CPU tensors, which every torch since 1.6 loads with `weights_only=True`."""
    plain = OrderedDict((key, _plain(value).clone()) for key, value in tensors.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        torch.save(plain, part)


def _checked_size(path: Path, max_bytes: int) -> int:
    """The file's size; a `BadInput` where it, or what it unpacks to, is too large."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise BadInput(f"{path}: expected a .pth file, found something that is not a regular file")
    if about.st_size > max_bytes:
        raise BadInput(f"{path}: {about.st_size:,} bytes is over the limit of {max_bytes:,} for foreign weights")
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"  # torch's own test
    if zipped:
        _check_archive(path, about.st_size)
    return about.st_size


def _check_archive(path: Path, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInput(f"{path}: damaged ({error}); download or copy it again") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise BadInput(f"{path}: unpacks to more than its own size, which torch.save never writes; not trusted")


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old formats
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # hostile bytes raise anything; whatever it is, the file is refused
            raise BadInput(f"{path}: {_kind(path) or _reason(error)}") from error


def _kind(path: Path) -> str:
    """The kind of a file that torch did not write, if its first bytes identify it; else empty."""
    with path.open("rb") as file:
        start = file.read(256).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not weights: open the link in a browser and save the file itself"
    if path.suffix == ".t7":
        return "a Torch7 file, which only Lua Torch reads; look for the same network saved by PyTorch"
    return ""


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())
    if refused := re.search(r"GLOBAL ([\w.]+)", words):
        advice = "have its author save the state_dict alone"
        return f"holds more than tensors ({refused[1]}), which is never loaded: it could run code; {advice}"
    return f"not a readable .pth file ({type(error).__name__}: {words[:120]})"


def _state(path: Path, content: Any) -> dict[str, Tensor]:
    """The dictionary of tensors, inside wrappers or not; counters, notes and optimizers beside them are passed over.

    A file of several networks, each a state_dict under its name, gives `NETWORK.WEIGHT` for every weight.
    """
    content = _unwrapped(content)
    if not isinstance(content, Mapping):
        raise BadInput(f"{path}: expected a dictionary of tensors (a state_dict), found {type(content).__name__}")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        networks = {str(name): _unwrapped(part) for name, part in content.items() if not OPTIMIZER.search(str(name))}
        for name, part in networks.items():
            parts = part.items() if isinstance(part, Mapping) else ()
            tensors |= {f"{name}.{_plain_name(str(key))}": value for key, value in parts if isinstance(value, Tensor)}
    if not tensors:
        names = ", ".join(sorted(map(str, content))[:8])
        raise BadInput(f"{path}: expected a dictionary of tensors (a state_dict), found none under {shown(names)}")
    return tensors


def _unwrapped(content: Any) -> Any:
    """The content under the names that training tools give to the weights, at any depth."""
    for _ in range(MOST_WRAPPERS):
        names = WRAPPERS if isinstance(content, Mapping) else ()
        content = next((content[name] for name in names if isinstance(content.get(name), Mapping)), content)
    return content


def _plain_name(key: str) -> str:
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key


def _owned(path: Path, key: str, value: Tensor, size: int) -> Tensor:
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        raise BadInput(f"{path}: {key} is not a plain tensor ({value.layout}, {value.device.type})")
    if value.numel() * value.element_size() > size:
        raise BadInput(f"{path}: {key} claims {tuple(value.shape)}, more than the file holds")
    plain = _plain(value)
    if plain.is_floating_point() and not bool(torch.isfinite(plain).all()):
        raise BadInput(f"{path}: {key} holds values that are not finite")
    return plain


def _plain(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).contiguous()
