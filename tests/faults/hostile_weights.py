"""Weight files that nobody should trust, made by code: each a name and its bytes."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from unpaired.checkpoints.bundle import load_bundle
from unpaired.evaluation.segmenter import FORMAT as SEGMENTER
from unpaired.experiment import to_dict
from unpaired.models.fcn import FCN, FCNConfig

SUFFIXES = (".safetensors", ".pth", ".bin", ".pt2", ".onnx")
File = tuple[str, bytes]


# Pickles that would run code: one for each opcode that calls, each caller that is known to be misused


def calls(command: str) -> dict[str, bytes]:
    """Pickles that run a shell command, by route."""
    word = command.encode()
    text = b"X" + struct.pack("<I", len(word)) + word
    python = f"__import__('os').system({command!r})".encode()
    code = b"X" + struct.pack("<I", len(python)) + python
    routes = {
        "reduce": b"cos\nsystem\n(" + text + b"tR.",
        "reduce-posix": b"cposix\nsystem\n(" + text + b"tR.",
        "inst": b"(" + text + b"ios\nsystem\n.",
        "obj": b"(cos\nsystem\n" + text + b"o.",
        "newobj": b"\x80\x02csubprocess\nPopen\n(" + text + b"l(I-1\nNNNNNI01\nI01\ntt\x81.",
        "newobj-ex": b"\x80\x04csubprocess\nPopen\n(" + text + b"t}X\x05\0\0\0shell\x88s\x92.",
        "stack-global": b"\x80\x04\x8c\x02os\x8c\x06system\x93(" + text + b"tR.",
        "build": b"\x80\x02cargparse\nNamespace\n)R}X\x01\0\0\0a(cos\nsystem\n(" + text + b"tRsb.",
        "eval": b"cbuiltins\neval\n(" + code + b"tR.",
        "exec": b"cbuiltins\nexec\n(" + code + b"tR.",
        "import": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(X\x02\0\0\0ostRX\x06\0\0\0systemtR(" + text + b"tR.",
        "after-tensor-names": b"\x80\x02}X\x01\0\0\0wcos\nsystem\n(" + text + b"tRs.",
        "memo": b"cos\nsystem\nq\x01(" + text + b"th\x01\x8c\0R.".replace(b"\x8c\0", b"") + b".",
        "apply-map": b"cbuiltins\nlist\n(cbuiltins\nmap\n(cos\nsystem\n(" + text + b"ltRtR.",
        "partial": b"cfunctools\npartial\n(cos\nsystem\n" + text + b"tR)R.",
        "torch-hub": b"ctorch.hub\n_load_local\n(X\x04\0\0\0/tmpX\x01\0\0\0xtR(" + text + b"tR.",
        "torch-load": b"ctorch.serialization\nload\n(" + text + b"tR(cos\nsystem\n(" + text + b"tR.",
        "numpy-loads": b"cnumpy\nload\n(" + text + b"tR(cos\nsystem\n(" + text + b"tR.",
        "rebuild-tensor": b"ctorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\n(" + text + b"tRI0\n(t(tI00\n}tR.",
        "persistent": b"cos\nsystem\n(" + text + b"tRQ.",
    }
    assert pickle.loads(routes["memo"][:0] or b"N.") is None  # the routes themselves are never loaded here
    return routes


def wrapped(route: bytes) -> Iterator[tuple[str, bytes]]:
    """A pickle in every container that PyTorch and its users put one into."""
    yield "bare", route
    yield "protocol", b"\x80\x04" + route.removeprefix(b"\x80\x02").removeprefix(b"\x80\x04")
    magic, number = pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)
    yield "legacy", magic + number + pickle.dumps({"little_endian": True}, 2) + route
    yield "zip", archive({"archive/data.pkl": route, "archive/version": b"3\n", "archive/byteorder": b"little"})
    script = {"m/data.pkl": route, "m/constants.pkl": route, "m/code/__torch__.py": b"import os\n", "m/version": b"3"}
    yield "script", archive(script)
    pt2 = {"m/archive_format": b"pt2", "m/version": b"0", "m/data/weights/x": route, "m/models/model.json": b"{}"}
    yield "pt2", archive({**pt2, "m/byteorder": b"little", "m/archive_version": b"0"})
    yield "tar", tarred({"pickle": route, "storages": route, "tensors": route})


def archive(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A ZIP of named contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """A tar of named contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def pickles(command: str) -> Iterator[File]:
    """Every route in every container, under each of the suffixes in turn."""
    turn = 0
    for route, content in calls(command).items():
        for container, whole in wrapped(content):
            yield f"{route}-{container}{SUFFIXES[turn % len(SUFFIXES)]}", whole
            turn += 1


# Safetensors


@dataclass(frozen=True)
class Good:
    """A sound bundle to be spoiled."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> Good:
        bundle = load_bundle(path)
        tensors = {
            f"{direction}.{key}": value
            for direction, network in bundle.translators.items()
            for key, value in network.state_dict().items()
        }
        return cls(tensors, {"format": 1, "step": bundle.step, "experiment": to_dict(bundle.experiment)})

    def file(self, tensors: dict[str, torch.Tensor] | None = None, **facts: Any) -> bytes:
        """The bundle with other tensors or other facts."""
        return save(tensors or self.tensors, {"unpaired": json.dumps({**self.facts, **facts})})

    def architecture(self, **settings: Any) -> bytes:
        """The bundle with settings, `__` for the dot, that its tensors do not have."""
        experiment = json.loads(json.dumps(self.facts["experiment"]))
        for key, value in settings.items():
            *path, last = key.split("__")
            part = experiment
            for step in path:
                part = part[step]
            part[last] = value
        return self.file(experiment=experiment)


def with_header(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of any header."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def headers(good: Good) -> Iterator[File]:
    """Broken, huge and lying headers."""

    def one(entry: object, data: bytes = bytes(16), **more: object) -> bytes:
        return with_header(json.dumps({"AtoB.w": entry, **more}).encode(), data)

    yield "nothing", b""
    yield "seven-bytes", b"\1\0\0\0\0\0\0"
    yield "no-header", with_header(b"", length=0)
    for name, length in {"huge": 2**63, "largest": 2**64 - 1, "hundred-mb": 10**8, "one-over": 65}.items():
        yield f"length-{name}", with_header(b"{}".ljust(64), length=length)
    yield "long-header", with_header(b"{" + b" " * (5 * 2**20) + b"}")
    yield "wide-header", with_header(b'{"a":[' + b"[]," * (2 * 2**20) + b"[]]}")
    for name, text in {
        "list": b"[]",
        "number": b"1",
        "text": b'"x"',
        "null": b"null",
        "cut": b'{"a":',
        "junk": b"\xff",
    }.items():
        yield f"header-{name}", with_header(text)
    yield "header-deep", with_header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield "header-deep-objects", with_header(b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
    yield "header-digits", with_header(b'{"a":{"dtype":"F32","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,4]}}')
    for name, metadata in {"list": [], "number": {"unpaired": 1}, "nested": {"unpaired": {}}}.items():
        yield f"metadata-{name}", with_header(json.dumps({"__metadata__": metadata}).encode())
    spec = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    entries = {
        "no-dtype": {"shape": [4], "data_offsets": [0, 16]},
        "no-shape": {"dtype": "F32", "data_offsets": [0, 16]},
        "no-offsets": {"dtype": "F32", "shape": [4]},
        "unknown-dtype": {**spec, "dtype": "F31"},
        "list-dtype": {**spec, "dtype": ["F32"]},
        "text-shape": {**spec, "shape": "4444"},
        "float-shape": {**spec, "shape": [4.0]},
        "true-shape": {**spec, "shape": [True, 4]},
        "negative-shape": {**spec, "shape": [-4]},
        "two-negatives": {**spec, "shape": [-2, -2]},
        "huge-shape": {**spec, "shape": [2**62]},
        "overflowing-shape": {**spec, "shape": [2**32, 2**32]},
        "wrapping-shape": {**spec, "shape": [2**62 + 1, 4]},
        "many-ones": {**spec, "shape": [1] * 100_000 + [4]},
        "many-huge": {**spec, "shape": [2**62] * 50_000},
        "zero-and-huge": {**spec, "shape": [0, 2**62]},
        "backwards": {**spec, "data_offsets": [16, 0]},
        "negative-offset": {**spec, "data_offsets": [-16, 0]},
        "beyond": {**spec, "data_offsets": [16, 32]},
        "far-beyond": {**spec, "data_offsets": [2**62, 2**62 + 16]},
        "text-offsets": {**spec, "data_offsets": ["0", "16"]},
        "three-offsets": {**spec, "data_offsets": [0, 8, 16]},
        "short": {**spec, "data_offsets": [0, 8]},
        "not-an-object": [1, 2, 3],
        "null": None,
    }
    for name, entry in entries.items():
        yield f"entry-{name}", one(entry)
    yield "overlap", one(spec, bytes(24), **{"AtoB.v": {**spec, "data_offsets": [8, 24]}})
    yield "same-place", one(spec, bytes(16), **{"AtoB.v": spec})
    yield "gap", one(spec, bytes(40), **{"AtoB.v": {**spec, "data_offsets": [24, 40]}})
    yield "trailing-bytes", one(spec, bytes(32))
    yield "polyglot-zip", good.file() + archive({"evil": b"1"})
    twice = json.dumps({"AtoB.w": spec}).encode()[:-1] + b"," + json.dumps({"AtoB.w": spec}).encode()[1:]
    yield "name-twice", with_header(twice, bytes(16))
    yield "metadata-twice", with_header(b'{"__metadata__":{},"__metadata__":{}}')
    empty = {f"AtoB.{k}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for k in range(40_000)}
    yield "many-tensors", with_header(json.dumps(empty).encode())
    whole = good.file()
    for percent in (1, 5, 20, 50, 90, 99):
        yield f"cut-{percent:02}", whole[: len(whole) * percent // 100]


def facts(good: Good) -> Iterator[File]:
    """Sound safetensors whose metadata is not."""
    values: dict[str, Any] = {
        "no-json": "{",
        "list": "[]",
        "null": "null",
        "deep-lists": "[" * 100_000 + "]" * 100_000,
        "deep-objects": '{"experiment":' * 50_000 + "1" + "}" * 50_000,
        "deep-settings": json.dumps({**good.facts, "experiment": None})[:-1]
        + ',"x":'
        + '{"a":' * 900
        + "1"
        + "}" * 901,
        "wide": '{"experiment":{"data":{"root":[' + "[]," * 500_000 + "[]]}}}",
        "long-number": '{"step":' + "9" * 5000 + "}",
        "twice": '{"experiment":{},"experiment":{}}',
    }
    for name, text in values.items():
        yield f"facts-{name}", save(good.tensors, {"unpaired": text})
    for name, step in {"text": "x", "none": None, "negative": -1, "float": 1.5, "true": True, "list": [1]}.items():
        yield f"step-{name}", good.file(step=step)
    for name, version in {"new": 99, "text": "1", "none": None, "zero": 0, "float": 1.0, "huge": 10**400}.items():
        yield f"format-{name}", good.file(format=version)
    for name, experiment in {
        "list": [],
        "text": "x",
        "null": None,
        "escape": {"\x1b[2J\n": 1},
        "long": {"a" * 10**5: 1},
    }.items():
        yield f"experiment-{name}", good.file(experiment=experiment)


def architectures(good: Good) -> Iterator[File]:
    """Settings that the tensors do not have: refused before memory is taken for them."""
    huge = (10**9, 2**31, 2**63, 10**30, 10**400)
    for place in ("generator__width", "generator__blocks", "discriminator__width", "discriminator__layers", "history"):
        for value in huge[:3] if place != "history" else huge[3:]:
            if place not in (
                "discriminator__width",
                "history",
            ):  # a bundle holds no discriminators
                yield f"{place}-{len(str(value))}", good.architecture(**{f"method__{place}": value})
    for value in huge[3:]:
        for place in ("generator__width", "discriminator__width"):
            yield f"{place}-{len(str(value))}", good.architecture(**{f"method__{place}": value})
    for side in "ab":
        for value in (0, -1, 4, 10**9, "three", None, 2.5):
            yield f"channels-{side}-{value}", good.architecture(**{f"data__channels_{side}": value})
    for key, value in {
        "method__generator__width": 8,
        "method__generator__blocks": 2,
        "method__generator__norm": "batch",
        "method__generator__upsampling": "resize",
        "method__generator": {"name": "unet", "downs": 10**9},
        "method__generator__name": "os.system",
        "method__name": "../evil",
        "runtime__seed": 2**70,
        "data__load_size": 10**12,
        "optim__lr": float("nan"),
        "optim__epochs": float("inf"),
    }.items():
        yield f"{key.replace('__', '-')}-{str(value)[:12].replace('/', '_')}", good.architecture(**{key: value})


def tensors(good: Good) -> Iterator[File]:
    """Tensors that are not those of the settings, or are no numbers."""
    names = sorted(good.tensors)

    def changed(name: str, value: torch.Tensor) -> bytes:
        return good.file({**good.tensors, name: value})

    for number, value in {"nan": float("nan"), "inf": float("inf"), "minus-inf": float("-inf")}.items():
        for place, name in {"first": names[0], "last": names[-1]}.items():
            spoiled = good.tensors[name].clone()
            spoiled.view(-1)[-1] = value
            yield f"{number}-{place}", changed(name, spoiled)
    weight = good.tensors[names[1]]
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int64, torch.bool):
        yield f"dtype-{str(dtype).removeprefix('torch.')}", changed(names[1], weight.to(dtype))
    yield "shape-transposed", changed(names[1], weight.transpose(0, 1).contiguous())
    yield "shape-flat", changed(names[1], weight.reshape(-1).clone())
    yield "shape-scalar", changed(names[1], torch.tensor(1.0))
    yield "shape-empty", changed(names[1], torch.zeros(0))
    yield "shape-larger", changed(names[1], torch.zeros(2**22))
    yield "one-missing", good.file({name: good.tensors[name] for name in names[1:]})
    yield "one-more", changed("AtoB.evil", torch.zeros(4))
    yield "no-direction", good.file({f"sideways.{name}": value for name, value in good.tensors.items()})
    yield "names-escape", good.file({f"\x1b[2J{name}\n": value for name, value in good.tensors.items()})
    yield "names-long", good.file({name + "a" * 10_000: value for name, value in good.tensors.items()})


def segmenters() -> Iterator[File]:
    """Files of `unpaired segmenter`, spoiled."""
    sizes = {"classes": 3, "channels": 3, "width": 4, "stages": 2}
    sound = FCN(FCNConfig(**sizes)).state_dict()

    def one(tensors: dict[str, torch.Tensor] = sound, facts: object = None, **network: object) -> bytes:
        about = {"network": sizes | network, "classes": ["a", "b", "c"], "ceiling": {}} if facts is None else facts
        return save(tensors, {"format": SEGMENTER, "facts": about if isinstance(about, str) else json.dumps(about)})

    for name, value in {"negative": -1, "zero": 0, "true": True, "float": 4.0, "text": "4", "list": [4]}.items():
        yield f"width-{name}", one(width=value)
    for name in sizes:
        yield f"{name}-other", one(**{name: sizes[name] + 1})
        yield f"{name}-large", one(**{name: 2**15})
        yield f"{name}-huge", one(**{name: 10**9})
    yield "more-settings", one(norm="batch")
    yield "facts-list", one(facts=[])
    yield "facts-empty", one(facts={})
    yield "facts-text", one(facts="{")
    yield "facts-deep", one(facts="[" * 100_000 + "]" * 100_000)
    yield "facts-twice", one(facts='{"network": {}, "network": {}}')
    first, *others = sound
    yield "nan", one(tensors={**sound, first: torch.full_like(sound[first], torch.nan)})
    yield "one-missing", one(tensors={name: sound[name] for name in others})
    yield "no-facts", save(sound, {"format": SEGMENTER})
    yield "other-format", save(sound, {"format": "pt", "facts": "{}"})
    yield "header-huge", with_header(b"{}".ljust(64), length=2**63)
    yield "pickle", calls("true")["reduce"]


def weights(good: Good, command: str) -> dict[str, bytes]:
    """All of them by name; the suffixes of what is no pickle go round too."""
    files = dict(pickles(command))
    for makers in (headers(good), facts(good), architectures(good), tensors(good)):
        for number, (name, content) in enumerate(makers):
            files[f"{name}{SUFFIXES[number % 4 // 3]}"] = content  # one in four is called .pth
    return files
