"""The settings of `train` on the command line: `--group.setting value`, and their help."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unpaired.commands.arguments import help_width

COMMON = (
    *("data.preprocess", "data.load_size", "data.crop_size", "data.flip", "data.batch", "data.workers"),
    *("data.on_bad_image", "method.generator.name", "method.generator.width", "method.generator.upsampling"),
    *("method.forward_cycle_weight", "method.backward_cycle_weight", "method.identity_weight"),
    *("optim.lr", "optim.epochs", "optim.decay_epochs", "optim.ema_decay"),
    *("runtime.precision", "runtime.sample_every", "runtime.validate_every"),
)
"""The twenty settings that people change most."""
FLAG_WIDTH = 34


def split_settings(args: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take `--group.setting value`, `--group.setting=value` and bare switches out of the arguments.

    Values stay text: their type is the setting's, and is not known here.
    """
    settings: dict[str, str] = {}
    rest: list[str] = []
    words = deque(args)
    while words:
        word = words.popleft()
        flag, equals, value = word.partition("=")
        if not (flag.startswith("--") and "." in flag):
            rest.append(word)
            continue
        key = flag.removeprefix("--").replace("-", "_")
        if not equals and words and not words[0].startswith("--"):
            value = words.popleft()
        elif not equals:
            group, _, last = key.rpartition(".")
            value = "false" if last.startswith("no_") else "true"
            key = f"{group}.{last.removeprefix('no_')}"
        settings[key] = value
    return settings, rest


def setting_flags() -> list[str]:
    """Every setting of the default experiment as a flag."""
    from unpaired.experiment import Experiment, flatten

    return [_flag(key) for key in flatten(Experiment(name=""))]


def settings_help(preset: str, settings: Mapping[str, str], everything: bool) -> str:
    """The settings with the values of a preset, changed by `settings`: the common ones, or all."""
    from unpaired.experiment import with_settings
    from unpaired.presets import PRESETS, crop_in
    from unpaired.presets import preset as named

    experiment = with_settings(named(preset, crop_in(settings)), settings, "train")
    about = inspect.getdoc(PRESETS[preset]) or ""
    rows = [row for row in _rows(experiment) if everything or row[0] in COMMON]
    width = help_width()
    usage = textwrap.fill(f"usage: unpaired train {preset} --data FOLDER --out FOLDER [--SETTING VALUE ...]", width)
    title = "all settings" if everything else "common settings (--help-all shows the rest)"
    lines = [usage, "", _reflowed(about, width), "", f"{title} with the values of {preset}:"]
    for _, group in groupby(rows, key=lambda row: row[0].partition(".")[0]):
        lines += ["", *(_row(f"  {_flag(key)} {value}", text, width) for key, value, text in group)]
    return "\n".join([*lines, "", "further flags: unpaired train --help"])


def _reflowed(text: str, width: int) -> str:
    """Paragraphs filled to the width; command lines keep their own lines."""
    parts = [part.strip() for part in text.split("\n\n")]
    commands = [textwrap.indent(part, "  ") for part in parts if part.startswith("unpaired ")]
    prose = [textwrap.fill(part, width) for part in parts if not part.startswith("unpaired ")]
    return "\n\n".join([*prose, *(f"example:\n{lines}" for lines in commands)])


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _row(flag: str, text: str, width: int) -> str:
    """The flag, and its text beside or below it."""
    blank = " " * FLAG_WIDTH
    body = textwrap.wrap(text, width - FLAG_WIDTH)
    beside = len(flag) < FLAG_WIDTH - 1
    first = flag.ljust(FLAG_WIDTH) + body[0] if beside and body else flag
    return "\n".join([first, *(blank + line for line in (body[1:] if beside else body))])


def _rows(config: Any, prefix: str = "", kinds: str = "") -> Iterator[tuple[str, str, str]]:
    """Each setting of a config and its parts: dotted name, value as text, description with the choices."""
    texts, hints = _field_texts(type(config)), get_type_hints(type(config))
    for name, value in vars(config).items():
        hint = hints.get(name)
        if hasattr(value, "__dataclass_fields__"):
            names = [kind.name for kind in get_args(hint)] or [value.name] if hasattr(value, "name") else []
            yield from _rows(value, f"{prefix}{name}.", " | ".join(names))
        elif name != "name":
            yield f"{prefix}{name}", _shown(value), texts.get(name, "") + _choices(hint)
        elif prefix:
            yield f"{prefix}name", value, f"{kinds}; another one starts from its own defaults."


def _choices(hint: Any) -> str:
    """` (a | b)` for a choice."""
    literal = next((kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal), None)
    return f" ({' | '.join(map(str, get_args(literal)))})" if literal else ""


def _shown(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value) if value != "" else "''"


@cache
def _field_texts(config: type) -> dict[str, str]:
    """The text below each field of a dataclass and its bases."""
    texts: dict[str, str] = {}
    for kind in reversed(config.__mro__[:-1]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(node, ast.ClassDef)
        for field, below in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(field.target, ast.Name):
                texts[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return texts
