"""Write `api.md` beside this file, the reference of the Python API, from the docstrings; `make docs` runs it."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import unpaired
from unpaired import evaluation, experiment, export, inference, methods, presets
from unpaired.imaging import images
from unpaired.inference import Translator
from unpaired.methods import Method

PAGE = Path(__file__).with_name("api.md")
PUBLIC: dict[str, list[tuple[str, Any]]] = {
    "Train": [
        ("unpaired.train", unpaired.train),
        ("unpaired.experiment.with_settings", experiment.with_settings),
        ("unpaired.experiment.read_settings", experiment.read_settings),
    ],
    "Translate": [
        ("unpaired.Translator.load", Translator.load),
        ("Translator.__call__", Translator.__call__),
        ("Translator.translate", Translator.translate),
        ("Translator.to", Translator.to),
        ("unpaired.inference.translate_files", inference.translate_files),
    ],
    "Evaluate": [("unpaired.evaluation.evaluate", evaluation.evaluate)],
    "Export": [("unpaired.export.export", export.export)],
    "Images": [
        (f"unpaired.imaging.images.{each.__name__}", each)
        for each in (images.read_image, images.write_image, images.to_tensor, images.to_pixels)
    ],
    "A method of your own": [
        ("unpaired.methods.Method", Method),
        ("Method.generator_losses", Method.generator_losses),
        ("Method.discriminator_losses", Method.discriminator_losses),
        ("unpaired.methods.forward_many", methods.forward_many),
    ],
}
WIDTH = 88
"""Characters of a line that the site shows without scrolling."""
SECTIONS = ("Args", "Returns", "Raises", "Source", "Yields")
START = """```python
import unpaired

run = unpaired.train(unpaired.presets.quick(), data="data", out="runs/mine")
to_b = unpaired.Translator.load(run, direction="AtoB")
to_b("photo.jpg").save("translated.png")
```

`import unpaired` imports no torch. Bad input raises `unpaired.core.errors.BadInput`, a `ValueError` with one line: the
file or setting, what was expected, what was found, what to do."""


def page() -> str:
    """The whole page."""
    parts = ["# Python API", START]
    for title, members in PUBLIC.items():
        parts += [f"## {title}", *(entry(name, member) for name, member in members)]
        if title == "Train":
            parts.append(preset_table())
    return "\n\n".join(parts) + "\n"


def preset_table() -> str:
    """Every preset and the first line of its docstring."""
    rows = [f"| `{name}` | {_first_line(make)} |" for name, make in presets.PRESETS.items()]
    intro = "Each function of `unpaired.presets` returns an `Experiment`: all settings, as frozen dataclasses."
    return "\n".join(["### Presets", "", intro, "", "| preset | what it is |", "|---|---|", *rows])


def _first_line(make: Any) -> str:
    return " ".join((inspect.getdoc(make) or "").partition("\n\n")[0].split())


def entry(name: str, member: Any) -> str:
    """Signature and docstring of one member."""
    call = signature(name, member)
    return (
        f"### {name.rpartition('.')[2].strip('_')}\n\n```python\n{call}\n```\n\n{prose(inspect.getdoc(member) or '')}"
    )


def signature(name: str, member: Any) -> str:
    """How it is called, with types and defaults; one parameter a line where it is long."""
    if inspect.isclass(member):
        return f"class {name}"
    parts, starred = [], False
    found = inspect.signature(member)
    for each in found.parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        default = "" if each.default is each.empty else f" = {each.default!r}"
        star = "*" if each.kind is each.VAR_POSITIONAL else ""
        parts.append(f"{star}{each.name}: {each.annotation}{default}")
    answer = f" -> {found.return_annotation}"
    short = f"{name}({', '.join(parts)}){answer}"
    if len(short) <= WIDTH:
        return short
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){answer}"])


def prose(doc: str) -> str:
    """A Google-style docstring as Markdown: sections in bold, their entries as lists."""
    lines, section = [], ""
    for line in dedent(doc).splitlines():
        head = line.partition(":")[0]
        if head in SECTIONS and not line.startswith(" "):
            section = head
            rest = line.partition(":")[2].strip()
            lines += ["", f"**{head}**{f' {rest}' if rest else ''}", ""]
        elif section and re.match(r"    \S", line):
            lines.append(f"- {line.strip()}")
        else:
            lines.append(f"  {line.strip()}" if section and line.strip() else line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(page().splitlines())} lines, unpaired {unpaired.__version__}, Python {sys.version_info[0]}")
