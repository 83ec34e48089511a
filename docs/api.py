"""Write `api.md` beside this file, the reference of the Python API, from the docstrings; `make docs` runs it."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from textwrap import dedent

import unpaired
from unpaired import evaluation, experiment, export, inference, methods, presets
from unpaired.imaging import images
from unpaired.methods import Method

PAGE = Path(__file__).with_name("api.md")
PUBLIC = {
    "Train": [unpaired.train, experiment.with_settings, experiment.read_settings],
    "Translate": [inference.Translator, inference.Translator.load, inference.Translator.__call__],
    "Evaluate": [evaluation.evaluate],
    "Export": [export.export],
    "Images": [images.read_image, images.write_image, images.to_tensor, images.to_pixels],
    "A method of your own": [Method, Method.generator_losses, Method.discriminator_losses, methods.forward_many],
}
WIDTH = 88
"""Characters of a line that the site shows without scrolling."""
SECTIONS = ("Args", "Returns", "Raises", "Source", "Yields")


def page() -> str:
    """The whole page."""
    names = ", ".join(f"`{name}`" for name in presets.PRESETS)
    parts = [
        "# Python API",
        "Written from the docstrings.",
        f"Presets (`unpaired.presets`): {names}.",
    ]
    for title, members in PUBLIC.items():
        parts += [f"## {title}", *(entry(member) for member in members)]
    return "\n\n".join(parts) + "\n"


def entry(member: object) -> str:
    """Signature and docstring of one member."""
    name = f"{member.__module__}.{member.__qualname__}"  # pyright: ignore[reportAttributeAccessIssue]
    signature = re.sub(r"'([^']*)'", r"\1", str(inspect.signature(member)))  # pyright: ignore[reportArgumentType]
    if len(name + signature) > WIDTH:  # one parameter a line; commas in brackets stay
        signature = re.sub(r", (?=\*?\w*[:,])", ",\n    ", signature.replace("(", "(\n    ", 1))
    call = f"```python\n{name}{signature}\n```"
    return f"### {name.rpartition('.')[2]}\n\n{call}\n\n{prose(inspect.getdoc(member) or '')}"


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
