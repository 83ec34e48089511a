"""Run folders, settings and data sets that nobody should trust: what to spoil in a sound one, by name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from unpaired.checkpoints.run_state import seal

Spoil = Callable[[Path], object]
LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))
"""Nine to the power of eleven words, in half a kilobyte."""
TEXTS = {
    "empty": "",
    "binary": "\0\1\2\3",
    "null": "null",
    "list": "[]",
    "number": "1",
    "text": '"x"',
    "cut": '{"format": 1, "step":',
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep-objects": '{"name":' * 50_000 + "1" + "}" * 50_000,
    "digits": '{"step": ' + "9" * 100_000 + "}",
    "twice": '{"format": 1, "format": 2}',
    "newer": '{"format": 99, "step": 1}',
    "wide": "[" + "[]," * 4_000_000 + "[]]",
}


def settings() -> dict[str, str]:
    """Texts of a `config.yaml`."""
    return {
        "laughs": LAUGHS,
        "laughs-in-settings": LAUGHS + "optim: {lr: *a11}\n",
        "laughs-of-mappings": "a0: &a0 {lr: 1}\n"
        + "".join(f"a{k}: &a{k} {{{', '.join(f'b{j}: *a{k - 1}' for j in range(9))}}}\n" for k in range(1, 12)),
        "itself": "optim: &a\n  lr: *a\n",
        "merge": "a: &a {lr: 1}\noptim: {<<: *a}\n",
        "object": "!!python/object/apply:os.system ['touch CANARY']\n",
        "object-new": "!!python/object/new:os.system ['touch CANARY']\n",
        "module": "a: !!python/module:os\n",
        "tag": "a: !evil x\n",
        "deep": "[" * 30_000,
        "deep-blocks": "\n".join(" " * k + "a:" for k in range(300)),
        "long": "a: " + "x" * 10**6,
        "sexagesimal": "optim: {steps: " + ":".join(["1"] * 30_000) + "}",
        "digits": "optim: {steps: " + "9" * 60_000 + "}",
        "keys": "? [1, 2]\n: 3\n",
        "wide": "{width: 4}".join(["a: ["] + [","] * 10_000),
        "width": "method: {generator: {width: 1000000000}}\n",
        "width-large": "method: {generator: {width: 20000}}\n",
        "width-digits": "method: {generator: {width: 1" + "0" * 400 + "}}\n",
        "blocks": "method: {generator: {blocks: 1000000000}}\n",
        "downs": "method: {generator: {name: unet, downs: 1000000000}}\n",
        "discriminator": "method: {discriminator: {width: 1000000000}}\n",
        "layers": "method: {discriminator: {layers: 1000000000}}\n",
        "channels": "data: {channels_a: 1000000000}\nmethod: {identity_weight: 0}\n",
        "size": "data: {load_size: 1000000000}\n",
        "batch": "data: {batch: 1000000000000}\n",
        "workers": "data: {workers: 1000000000}\n",
        "samples": "runtime: {samples: 1000000000}\n",
        "threads": "runtime: {threads: 1000000000}\n",
        "seed": "runtime: {seed: 1" + "0" * 30 + "}\n",
        "start": "optim: {start: /dev/zero}\n",
    }


def _texts(name: str, texts: dict[str, str]) -> Iterator[tuple[str, Spoil]]:
    def spoil(run: Path, text: str) -> None:
        (run / name).write_text(text)
        shutil.rmtree(run / "checkpoints" / "step-00000006", ignore_errors=True)  # else the run is finished

    for kind, text in texts.items():
        yield f"{name}-{kind}", lambda run, text=text: spoil(run, text)


def _resealed(run: Path, change: Callable[[dict[str, torch.Tensor]], object], **facts: object) -> None:
    """Change the newest checkpoint as its author could: with hashes that agree."""
    *older, folder = sorted((run / "checkpoints").glob("step-*"))
    for old in older:
        shutil.rmtree(old)
    tensors = load_file(folder / "state.safetensors")
    change(tensors)
    save_file(tensors, folder / "state.safetensors")
    content = (folder / "state.safetensors").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("seal", None)
    manifest.pop("sha256", None)
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest |= {"files": {"state.safetensors": about}, **facts}
    (folder / "manifest.json").write_text(seal(manifest))
    folder.rename(folder.with_name(f"step-{manifest['step']:08d}"))


def _first(tensors: dict[str, torch.Tensor], prefix: str) -> str:
    return next(name for name in sorted(tensors) if name.startswith(prefix))


def checkpoints() -> Iterator[tuple[str, Spoil]]:
    """States that agree with their hashes and fit no trainer."""

    def changed(prefix: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], object]:
        return lambda tensors: tensors.__setitem__(_first(tensors, prefix), value)

    yield "state-network-shape", lambda run: _resealed(run, changed("network/", torch.zeros(3)))
    yield "state-network-missing", lambda run: _resealed(run, lambda t: t.pop(_first(t, "network/")))
    yield "state-moment-shape", lambda run: _resealed(run, changed("optimizer/", torch.zeros(7, 7)))
    yield "state-history-shape", lambda run: _resealed(run, changed("planned/past_x/image", torch.zeros(7)))
    yield (
        "state-history-nan",
        lambda run: _resealed(run, changed("planned/past_x/image", torch.full((3, 32, 32), torch.nan))),
    )
    yield (
        "state-random",
        lambda run: _resealed(run, lambda t: t.update({n: t[n][:3].clone() for n in t if "random" in n})),
    )
    yield "state-step", lambda run: _resealed(run, lambda tensors: None, step=3)
    yield "state-step-far", lambda run: _resealed(run, lambda tensors: None, step=10**18)
    yield "state-empty", lambda run: _resealed(run, lambda tensors: tensors.clear())


def seals() -> Iterator[tuple[str, Spoil]]:
    """Manifests that agree with their own seal and are none of ours: the checkpoint counts as damaged."""
    device = {"/dev/zero": {"bytes": 0, "sha256": "0" * 64}}  # of its true size, and endless to whoever reads it
    for name, files in {"text": "x", "device": device, "outside": {"../../x": {}}}.items():
        yield f"state-files-{name}", lambda run, files=files: _resealed(run, lambda tensors: None, files=files)
    yield "state-format", lambda run: _resealed(run, lambda tensors: None, format="x")


def _linked(name: str, target: Path) -> Spoil:
    def spoil(run: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        os.symlink(target, path)

    return spoil


def links(victim: Path) -> Iterator[tuple[str, Spoil]]:
    """Places that a run writes to, leading out of its folder."""

    for name in ("metrics.jsonl", "config.yaml", "skipped.json", "samples/step-000006_AtoB.png"):
        yield f"link-{name.replace('/', '-')}", _linked(name, victim / "file")
    for name in ("samples", "tensorboard", "checkpoints"):
        yield f"link-{name}", _linked(name, victim)


def resumed(victim: Path) -> dict[str, Spoil]:
    """What to spoil in a run of which the same command is to go on."""
    lines = {
        **{k: f"{v}\n" for k, v in TEXTS.items() if k not in ("empty", "cut", "wide", "newer")},
        "long": "x" * 10**6,
    }
    lines |= {
        "newer": '{"format": 99, "step": 1}\n',
        "no-step": '{"losses": {}}\n',
        "text-step": '{"step": "x"}\n',
        "true-step": '{"step": true}\n',
    }
    lines.pop("null")  # a line without values is passed over
    return {
        **dict(_texts("config.yaml", settings())),
        **dict(_texts("metrics.jsonl", lines)),
        **dict(_texts("skipped.json", TEXTS | {"other": '{"skipped": [{"path": 1}]}'})),
        **dict(checkpoints()),
        **dict(links(victim)),
    }


def passed_over(victim: Path) -> dict[str, Spoil]:
    """What is not refused, being nothing that a run has to rely on; yet nothing comes of it."""
    return {
        **dict(seals()),
        "link-report-part": _linked(".report.html.part", victim / "file"),
        "link-config-part": _linked(".config.yaml.part", victim / "file"),
    }


def reported() -> dict[str, Spoil]:
    """What to spoil in a run that a report is written of."""
    lines = {
        "losses": '{"step": 1, "losses": 1}\n',
        "nan": '{"step": 1, "lr": NaN}\n',
        "text": '{"step": 1, "lr": "x"}\n',
    }
    lines |= {
        "huge": '{"step": 1e400}\n',
        "newer": '{"format": 99, "step": 1}\n',
        "many": json.dumps({"step": 1, "losses": {str(k): k for k in range(900)}}) + "\n",
    }
    evaluation = {
        "scores": '{"AtoB": {"ssim": "x"}}',
        "nan": '{"AtoB": {"ssim": NaN}}',
        "huge": '{"AtoB": {"ssim": 1e300}}',
        "intervals": '{"AtoB": {"ssim": 1}, "intervals": {"AtoB": {"ssim": {"low": 1}}}}',
        "baselines": '{"AtoB": {"ssim": 1}, "baselines": {"AtoB": {"copy": 1}}}',
        "images": '{"images": {"AtoB": [{"mean_abs_error": 1}]}}',
        "recipe": '{"recipe": [1]}',
        "notes": '{"recipe": {"notes": 7}}',
        "newer-recipe": '{"recipe": {"format": 99}}',
        "aligned": '{"recipe": {"aligned": "maybe"}}',
    }
    return {
        **dict(_texts("config.yaml", {k: v for k, v in settings().items() if "CANARY" in v or "laughs" in k})),
        **dict(_texts("metrics.jsonl", lines)),
        **dict(_texts("evaluation.json", {k: v for k, v in TEXTS.items() if k != "newer"} | evaluation)),
    }


def described() -> dict[str, Spoil]:
    """What to spoil in the description of a data set that a model is judged on."""
    facts = {
        "format": {"format": "x"},
        "name": {"name": [1]},
        "aligned": {"aligned": "yes"},
        "water": {"water": [1]},
        "water-text": {"water": {"A": "blue"}},
        "water-colours": {"water": {"A": {"bluer_by": "blue"}, "B": {"darkest": 1}}},
        "rule": {"rule": "x"},
        "rule-text": {"rule": {"size": "64"}},
        "rule-zero": {"rule": {"size": 0, "stride": 0, "globe_width": 0}},
        "counts": {"counts": {"trainA": {}}},
    }
    return dict(_texts("dataset.json", TEXTS | {name: json.dumps(value) for name, value in facts.items()}))
