"""An experiment: every setting of a run in one frozen value, with its text form.

Importing this imports no torch: the help and the parsing of settings need none.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from unpaired.config import DataConfig, OptimConfig, RuntimeConfig
from unpaired.config.methods import METHOD_CONFIGS, CycleGANConfig, MethodConfig, Pix2PixConfig
from unpaired.config.networks import NETWORK_NAMES
from unpaired.core.errors import LONGEST, BadInput, brief, shown
from unpaired.core.safe_text import MAX_SETTINGS, parse_json, parse_yaml, read_text

if TYPE_CHECKING:
    from unpaired.methods import Method

FORMAT = 1
"""Version of a run's config.yaml."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A preset's name, the data, the method, its optimisation and its runtime."""

    name: str
    data: DataConfig = DataConfig()
    method: MethodConfig = CycleGANConfig()
    optim: OptimConfig = OptimConfig()
    runtime: RuntimeConfig = RuntimeConfig()


MAX_PARAMETERS = 10**9
"""Weights of a method's networks together; the published ones have 28 million. Training takes 16 bytes for each."""


def build_method(experiment: Experiment) -> Method:
    """The method with fresh networks, initialised from torch's global generator.

    Raises BadInput as `draft_method`, and for networks of more than `MAX_PARAMETERS`.
    """
    size = sum(weight.numel() for weight in draft_method(experiment).parameters())
    if size > MAX_PARAMETERS:
        raise BadInput(
            f"method: networks of {size:,} parameters in all, at most {MAX_PARAMETERS:,} are trained; lower "
            f"method.generator.width or method.discriminator.width"
        )
    return _method(experiment)


def draft_method(experiment: Experiment) -> Method:
    """The method on the meta device: shapes without memory, no random number drawn.

    Raises BadInput for settings of method and data that cannot go together, or weights too large to count.
    """
    import torch

    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return _method(experiment)
    except (RuntimeError, OverflowError, TypeError) as error:  # numbers that torch cannot hold
        raise BadInput(f"method: these networks cannot be built ({shown(error).partition(' Exception')[0]})") from error


def _method(experiment: Experiment) -> Method:
    from unpaired.methods import METHODS, Method

    data, kind = experiment.data, METHODS[experiment.method.name]
    a, b = data.channels_a, data.channels_b
    if isinstance(experiment.method, Pix2PixConfig) and not data.paired:
        raise BadInput(
            "method.name: pix2pix learns from pairs; set --data.paired, with trainA and trainB of the same names"
        )
    if data.pairs and kind.paired_losses is Method.paired_losses:
        able = ", ".join(name for name, each in METHODS.items() if each.paired_losses is not Method.paired_losses)
        raise BadInput(
            f"data.pairs: {experiment.method.name} learns nothing from pairs beside two folders; set --method.name to "
            f"one of: {able}"
        )
    if data.masks and not kind.masked:
        able = ", ".join(name for name, each in METHODS.items() if each.masked)
        raise BadInput(f"data.masks: {experiment.method.name} takes no masks; set --method.name to one of: {able}")
    if data.masks and a != b:
        raise BadInput(
            f"data.masks: what is outside of a mask stays as it is, which needs equal channels, got {a} and {b}; set "
            f"--data.masks false"
        )
    try:
        return kind(experiment.method, (a, b))
    except ValueError as error:
        raise BadInput(str(error)) from error


def to_dict(experiment: Experiment) -> dict[str, Any]:
    """Nested plain values, fit for JSON and YAML."""
    return asdict(experiment)


def from_dict(values: Mapping[str, Any], source: str = "settings") -> Experiment:
    """The inverse of `to_dict`; absent settings take their defaults. Raises BadInput as `with_settings`."""
    return _from_flat(flattened(values), source)


def with_settings(experiment: Experiment, settings: Mapping[str, Any], source: str = "settings") -> Experiment:
    """The experiment with dotted settings changed, e.g. {"optim.lr": "1e-4"}; text is converted.

    A new `method.name`, `method.generator.name` or `method.discriminator.name` starts that part from its own defaults.

    Raises:
        BadInput: a setting that does not exist (the nearest name is offered) or a value it cannot take.
    """
    settings = {key.replace("-", "_"): value for key, value in settings.items()}
    kinds = sorted((key for key in settings if key.endswith(".name")), key=lambda key: key.count("."))
    for key in kinds:
        experiment = _change(experiment, {key: settings[key]}, source)
    return _change(experiment, {key: settings[key] for key in settings if key not in kinds}, source)


def flatten(experiment: Experiment) -> dict[str, Any]:
    """Every setting by its dotted name, as `with_settings` takes them."""
    return flattened(to_dict(experiment))


def to_yaml(experiment: Experiment) -> str:
    """The text of a run's `config.yaml`."""
    return yaml.safe_dump({"format": FORMAT, **to_dict(experiment)}, sort_keys=False)


def read_settings(path: Path) -> dict[str, Any]:
    """Dotted settings from a YAML or JSON file.

    Raises:
        BadInput: no such file, or not a tree of settings.
    """
    text = read_text(path, MAX_SETTINGS)
    try:
        values = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except ValueError as error:
        raise BadInput(f"{path}: not valid YAML or JSON ({shown(error)})") from error
    if not isinstance(values, dict):
        found = "nothing" if values is None else brief(values)
        raise BadInput(f"{path}: expected settings as `optim: {{lr: 2e-4}}`, found {found}")
    version = values.pop("format", FORMAT)
    if version != FORMAT:
        raise BadInput(f"{path}: format {brief(version)}, this version reads {FORMAT}; upgrade unpaired")
    return flattened(values)


def read_experiment(path: Path) -> Experiment:
    """The experiment of a run's `config.yaml`."""
    return _from_flat(read_settings(path), str(path))


def with_root(experiment: Experiment, root: Path | str) -> Experiment:
    """The experiment on the data in `root`."""
    return replace(experiment, data=replace(experiment.data, root=str(root)))


def config_of(name: Any) -> type:
    """The dataclass of settings of the method called `name`, or BadInput; METHODS may have it from outside."""
    if isinstance(name, str) and name in METHOD_CONFIGS:
        return METHOD_CONFIGS[name]
    from unpaired.methods import METHODS

    if not isinstance(name, str) or name not in METHODS:
        there = ", ".join(map(repr, METHODS))
        raise BadInput(f"method.name: expected {there}, or one of your own once it is imported, got {brief(name)}")
    return get_type_hints(METHODS[name].__init__)["cfg"]


def _from_flat(settings: dict[str, Any], source: str) -> Experiment:
    return with_settings(Experiment(name=str(settings.pop("name", "custom"))), settings, source)


_check = lru_cache(TypeAdapter)


def _validated(values: Mapping[str, Any]) -> Experiment:
    """An experiment of checked parts; BadInput names every value that cannot be taken."""
    parts, problems, method = {}, [], config_of(values["method"].get("name"))
    kinds = {"name": str, "data": DataConfig, "method": method, "optim": OptimConfig, "runtime": RuntimeConfig}
    for part, kind in kinds.items():
        try:
            parts[part] = _check(kind).validate_python(values[part])
        except ValidationError as error:
            problems += [_explain(part, problem) for problem in error.errors()]
    if problems:
        raise BadInput("; ".join(problems))
    return Experiment(**parts)


def _change(experiment: Experiment, settings: Mapping[str, Any], source: str) -> Experiment:
    values, known = to_dict(experiment), set(flatten(experiment))
    for key, value in settings.items():
        if key not in known:
            raise BadInput(f"{source}: unknown setting {shown(key[:LONGEST])}{_nearest(key, known)}")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise BadInput(f"{source}: {key}: {brief(value)} is beyond any number of use here")
        *path, last = key.split(".")
        part = values
        for step in path:
            part = part[step]
        if last == "name" and path and part.get("name") != value:
            part.clear()
        part[last] = None if _means_none(experiment, key, value) else value
    try:
        return _validated(values)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error


def _means_none(experiment: Experiment, key: str, value: Any) -> bool:
    """Whether the text `none` or `null` is no value: only for a setting that may be absent and takes no text."""
    if not isinstance(value, str) or value.lower() not in ("none", "null"):
        return False
    owner: Any = experiment
    *path, last = key.split(".")
    for step in path:
        owner = getattr(owner, step)
    kinds = get_args(get_type_hints(type(owner)).get(last))
    return NoneType in kinds and not any(kind is str or get_origin(kind) is Literal for kind in kinds)


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _nearest(key: str, known: set[str]) -> str:
    by_end = {name.rpartition(".")[2]: name for name in known}
    close = difflib.get_close_matches(key, known, 1) or [
        by_end[end] for end in difflib.get_close_matches(key.rpartition(".")[2], by_end, 1)
    ]
    if close:
        return f"; did you mean {close[0]}?"
    group = key.rpartition(".")[0]
    siblings = [name for name in known if name.rpartition(".")[0] == group] if group else []
    return f"; there are {', '.join(sorted(siblings or known))}"


def _explain(part: str, problem: Any) -> str:
    steps = (part, *problem["loc"])  # pydantic names the member of a union as a step of the path
    where = ".".join(str(step) for step in steps if step not in NETWORK_NAMES)
    words = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":  # the check of a network's config does not know its place
        return words if words.startswith(where) else f"{where}: {words}"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        return f"{where}.name: input should be one of {context['expected_tags']}, got {brief(context['tag'])}"
    return f"{where}: {words[:1].lower()}{words[1:]}, got {brief(problem['input'])}"
