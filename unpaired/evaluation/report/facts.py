"""The head of the page: what was trained on what, how far it is, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unpaired.core.progress import duration
from unpaired.data.folders import has_domain, images_of
from unpaired.data.manifest import domain_names
from unpaired.evaluation.report.records import LogLine, RunFacts

Facts = list[tuple[str, str]]
"""(name, value); only what is known."""


def head(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    data: Path | None,
    log: Sequence[LogLine],
    run_facts: RunFacts,
) -> Facts:
    """The table of facts at the top of the page.

    Args:
        config: All settings.
        manifest: The data set's `dataset.json`; empty without one.
        data: The data set's folder, if it is at hand.
        log: Lines of `metrics.jsonl`.
        run_facts: What training recorded of its start.
    """
    method, optim, runtime, images = (config.get(part) or {} for part in ("method", "optim", "runtime", "data"))
    generator, last = method.get("generator") or {}, log[-1] if log else {}
    counts = _counts(manifest, data)
    source = manifest.get("source")
    facts = {
        "Data": data_name(manifest, data),
        "Licence": source.get("licence", "") if isinstance(source, dict) else "",
        "Training images": _of_each("train", counts, domain_names(manifest)),
        "Test images": _of_each("test", counts, domain_names(manifest)),
        "Method": method.get("name", ""),
        "Generator": _generator(generator),
        "Size": _size(images),
        "Steps": _steps(last),
        "Preset": str(config.get("name") or ""),
        "Batch": str(images.get("batch", "")),
        "Learning rate": str(optim.get("lr", "")),
        "Seed": str(runtime.get("seed", "")),
        "Best on test images": _best(log),
        "Device": run_facts.get("device", ""),
        "Started": _day(run_facts.get("started")),
        "Time taken": duration(seconds_spent(log)) if log else "",
    }
    return [(name, str(value)) for name, value in facts.items() if value != ""]


def progress_line(log: Sequence[LogLine]) -> str:
    """How far a training is, with the time left; empty where the log does not say how long it is."""
    last = log[-1] if log else {}
    step, total = last.get("step", 0), last.get("total", 0)
    if not total:
        return ""
    if step >= total:
        return f"Finished after {step:,} steps."
    spent, seconds = log[-1].get("seconds", 0.0), 0.0
    since = next(
        (k for k in range(len(log) - 1, 0, -1) if log[k - 1].get("seconds", 0.0) > log[k].get("seconds", 0.0)), 0
    )
    done = step - (log[since - 1]["step"] if since else 0)
    seconds = spent / done * (total - step) if done else 0.0
    return f"Step {step:,} of {total:,}, about {duration(seconds)} left."


def command(config: Mapping[str, Any], run: Path, data: Path | None) -> str:
    """The command that trains the same again, in a new folder."""
    words = ["unpaired", "train", str(config.get("name") or "cyclegan"), "--config", str(run / "config.yaml")]
    words += ["--data", str(data)] if data is not None else []
    return shlex.join([*words, "--out", f"{run}-again"])


def data_name(manifest: Mapping[str, Any], data: Path | None) -> str:
    """The data set's name: its own, or its folder's."""
    return str(manifest.get("name") or (data.name if data is not None else ""))


def seconds_spent(log: Sequence[LogLine]) -> float:
    """Time spent training: every resumed stretch counts its own seconds from 0."""
    times = [float(line.get("seconds", 0)) for line in log]
    return sum(now for now, after in zip(times, [*times[1:], 0.0], strict=True) if after < now)


def _steps(last: Mapping[str, Any]) -> str:
    if "step" not in last:
        return ""
    total = last.get("total", 0)
    return f"{last['step']:,} of {total:,}" if total > last["step"] else f"{last['step']:,}"


def _generator(generator: Mapping[str, Any]) -> str:
    sizes = [f"{key} {generator[key]}" for key in ("width", "blocks", "downs") if key in generator]
    return ", ".join([str(generator.get("name", "")), *sizes]).strip(", ")


def _size(images: Mapping[str, Any]) -> str:
    crop = images.get("crop_size")
    return f"{crop} px" if crop else ""


def _of_each(part: str, counts: Mapping[str, int], names: tuple[str, str]) -> str:
    known = [
        (counts[f"{part}{side}"], name) for side, name in zip("AB", names, strict=True) if f"{part}{side}" in counts
    ]
    return ", ".join(f"{count} of {name}" for count, name in known)


def _best(log: Sequence[LogLine]) -> str:
    """The step whose bundle is kept as the best, and by what; empty without validation."""
    validation = next((line["validation"] for line in reversed(log) if "validation" in line), None)
    if validation is None:
        return ""
    best = validation["best"]
    return f"step {best['step']:,}, mean KID {best['mean_kid']:.4f} ({validation['features']})"


def _counts(manifest: Mapping[str, Any], data: Path | None) -> dict[str, int]:
    if isinstance(manifest.get("counts"), dict):
        return dict(manifest["counts"])
    counts = {}
    for folder in ("trainA", "trainB", "testA", "testB"):
        if data is not None and has_domain(data, folder):
            counts[folder] = len(images_of(data, folder))
    return counts


def _day(started: float | None) -> str:
    return "" if started is None else datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d %H:%M UTC")
