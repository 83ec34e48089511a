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
    config: Mapping[str, Any], manifest: Mapping[str, Any], data: Path | None, log: Sequence[LogLine], run: RunFacts
) -> Facts:
    """The table of facts at the top of the page, from all settings, the data set's and the run's own files."""
    method, images = config["method"], config["data"]
    generator = method.get("generator") or {}
    sizes = [f"{key} {generator[key]}" for key in ("width", "blocks", "downs") if key in generator]
    counts, source, started = _counts(manifest, data), manifest.get("source"), run.get("started")
    facts = {
        "Data": data_name(manifest, data),
        "Licence": source.get("licence", "") if isinstance(source, dict) else "",
        "Training images": _of_each("train", counts, domain_names(manifest)),
        "Test images": _of_each("test", counts, domain_names(manifest)),
        "Method": method["name"],
        "Generator": ", ".join([str(generator.get("name", "")), *sizes]).strip(", "),
        "Size": f"{images['crop_size']} px" if images["crop_size"] else "",
        "Steps": _steps(log[-1]) if log else "",
        "Preset": config["name"],
        "Batch": images["batch"],
        "Learning rate": config["optim"]["lr"],
        "Seed": config["runtime"]["seed"],
        "Best on test images": _best(log),
        "Settings changed": "; ".join(run.get("changes", [])),
        "Device": run.get("device", ""),
        "Started": "" if started is None else f"{datetime.fromtimestamp(started, UTC):%Y-%m-%d %H:%M UTC}",
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
    times = [line.get("seconds", 0.0) for line in log]
    resumed = next((k for k in range(len(log) - 1, 0, -1) if times[k - 1] > times[k]), 0)
    done = step - (log[resumed - 1]["step"] if resumed else 0)
    seconds = times[-1] / done * (total - step) if done else 0.0
    return f"Step {step:,} of {total:,}, about {duration(seconds)} left."


def command(config: Mapping[str, Any], run: Path, data: Path | None) -> str:
    """The command that trains the same again, in a new folder."""
    words = ["unpaired", "train", config["name"] or "cyclegan", "--config", str(run / "config.yaml")]
    words += ["--data", str(data)] if data is not None else []
    return shlex.join([*words, "--out", f"{run}-again"])


def data_name(manifest: Mapping[str, Any], data: Path | None) -> str:
    """The data set's name: its own, or its folder's."""
    return str(manifest.get("name") or (data.name if data is not None else ""))


def seconds_spent(log: Sequence[LogLine]) -> float:
    """Time spent training: every resumed stretch counts its own seconds from 0."""
    times = [float(line.get("seconds", 0)) for line in log]
    return sum(now for now, after in zip(times, [*times[1:], 0.0], strict=True) if after < now)


def _steps(last: LogLine) -> str:
    total = last.get("total", 0)
    return f"{last['step']:,} of {total:,}" if total > last["step"] else f"{last['step']:,}"


def _of_each(part: str, counts: Mapping[str, int], names: tuple[str, str]) -> str:
    known = [(f"{part}{side}", name) for side, name in zip("AB", names, strict=True)]
    return ", ".join(f"{counts[folder]} of {name}" for folder, name in known if folder in counts)


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
    if data is None:
        return {}
    folders = ("trainA", "trainB", "testA", "testB")
    return {folder: len(images_of(data, folder)) for folder in folders if has_domain(data, folder)}
