"""All experiments as one self-contained HTML page, and one Markdown file each."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from unpaired.core.files import write_text
from unpaired.reproduce.tables import markdown

PAGE = "index.html"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; image-rendering: pixelated; }
p.note { color: #555; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } th, td { border-color: #444; } }
"""


@dataclass(frozen=True)
class Section:
    """One experiment: a table, an image and notes on them."""

    slug: str
    title: str
    notes: tuple[str, ...] = ()
    tables: tuple[Sequence[Sequence[str]], ...] = ()
    figures: tuple[Path, ...] = ()


def write_section(out: Path, section: Section) -> Path:
    """`out/SLUG.md`."""
    parts = [f"# {section.title}", *section.notes, *(markdown(rows) for rows in section.tables)]
    parts += [f"![{section.title}]({path.relative_to(out).as_posix()})" for path in section.figures]
    path = out / f"{section.slug}.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def write_page(out: Path, title: str, notes: Sequence[str], sections: Sequence[Section]) -> Path:
    """`out/index.html` with every section, images inside."""
    body = "".join(_html(section) for section in sections)
    lines = "".join(f"<p class=note>{escape(note)}</p>" for note in notes)
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    path = out / PAGE
    write_text(path, f"<!doctype html><html lang=en>{head}<style>{STYLE}</style><h1>{escape(title)}</h1>{lines}{body}")
    return path


def _html(section: Section) -> str:
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in section.notes)
    tables = "".join(_table(rows) for rows in section.tables)
    figures = "".join(
        f"<p><img alt='{escape(section.title)}' src='data:image/png;base64,"
        f"{base64.b64encode(path.read_bytes()).decode()}'></p>"
        for path in section.figures
    )
    return f"<h2 id={section.slug}>{escape(section.title)}</h2>{notes}{tables}{figures}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table><tr>{head}</tr>{body}</table>"
