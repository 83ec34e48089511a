"""Every command line in the README and the docs has arguments that its command takes; nothing is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from unpaired.cli import COMMANDS, _command
from unpaired.commands.arguments import bind
from unpaired.commands.official import equivalents, is_official
from unpaired.commands.train_settings import split_settings

ROOT = Path(__file__).parent.parent.parent
UNFINISHED = ("...", "|", "[", "\\")
"""Of a synopsis, or of a line that continues."""


def lines_of(page):
    for line in page.read_text().splitlines():
        line = re.sub(r"\s+#.*", "", line.strip())
        if line.startswith("unpaired ") and not any(mark in line for mark in UNFINISHED):
            yield [word for word in shlex.split(line)[1:] if word != "&"]


LINES = [
    pytest.param(argv, id=f"{page.name}: {' '.join(argv)}")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    for argv in lines_of(page)
]


def test_there_are_such_lines():
    assert len(LINES) > 80


@pytest.mark.parametrize("argv", LINES)
def test_a_documented_command_line_is_taken(argv):
    if is_official(argv):
        equivalents(argv)
        return
    name, rest = _command(argv)
    if name == "train":
        _, rest = split_settings(rest)
    try:
        bind(name, COMMANDS[name], rest)
    except SystemExit as stop:  # a line that asks for help
        assert not stop.code
