"""The fenced blocks of the documents, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = ("", "sh")
"""Languages of what a reader types; `text` is what a program answers, or a command's form."""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    """Of its first line, from 1."""
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix() if page.is_relative_to(PROJECT) else str(page)


def blocks(page: Path) -> list[Block]:
    """The blocks of one page in their order."""
    text = page.read_text(encoding="utf-8")
    return [Block(page, text.count("\n", 0, found.start(2)) + 1, *found.groups()) for found in FENCE.finditer(text)]


def commands(block: Block) -> Iterator[str]:
    """Its commands: continuations joined, a here-document whole, comments cut."""
    lines = iter(block.text.replace("\\\n", " ").splitlines())
    for line in lines:
        here = re.search(r"<<'(\w+)'$", line)
        while here and not line.endswith(f"\n{here[1]}"):
            line += f"\n{next(lines)}"
        line = line.strip() if here else re.sub(r"(^|\s+)#.*", "", line).strip()
        if line:
            yield line


def all_commands() -> list[tuple[Path, str]]:
    """Every command of every page."""
    shells = [block for page in PAGES for block in blocks(page) if block.language in COMMANDS]
    return [(block.page, command) for block in shells for command in commands(block)]
