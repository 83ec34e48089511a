"""After the build: a page of the site for every source file that a document links to; `make docs` runs it.

In the repository `[l1](../unpaired/losses/cycle.py#l1)` leads to the file; on the site, to the line that defines l1.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

import unpaired

PROJECT = Path(unpaired.__file__).parents[1]
LINK = re.compile(r'href="(?:\.\./)+((?:unpaired|examples)/[\w/]+\.(?:py|ipynb))(?:#([\w.]+))?"')


def line_of(name: str, source: str) -> int:
    """The line that defines a function, class, constant or setting.

    Raises:
        ValueError: there is none.
    """
    found = re.search(rf"^ *(?:def |class )?{name}\b[ (:=]", source, re.MULTILINE)
    if not found:
        raise ValueError(f"nothing is called {name}")
    return source.count("\n", 0, found.start()) + 1


def main() -> None:
    """Rewrite the links of `site/` beside this folder, and write what they lead to under `site/source/`."""
    site = Path(__file__).parents[1] / "site"
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        there = {found[0]: f'href="{link(site, page, found[1], found[2])}"' for found in LINK.finditer(text)}
        if there:
            page.write_text(LINK.sub(lambda found, there=there: there[found[0]], text), encoding="utf-8")


def link(site: Path, page: Path, path: str, name: str | None) -> str:
    """Where `page` of the site finds the source file, and in it the line."""
    source = (PROJECT / path).read_text(encoding="utf-8")
    target = site / "source" / (f"{path}.html" if path.endswith(".py") else path)
    target.parent.mkdir(parents=True, exist_ok=True)
    look = HtmlFormatter(full=True, title=path, linenos="inline", lineanchors="line")
    target.write_text(highlight(source, PythonLexer(), look) if path.endswith(".py") else source, encoding="utf-8")
    line = f"#line-{line_of(name, source)}" if name else ""
    return Path(os.path.relpath(target, page.parent)).as_posix() + line


if __name__ == "__main__":
    main()
