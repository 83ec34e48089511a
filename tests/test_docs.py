"""The documents: every command in them is one, every place they name is there, and the site builds."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unpaired import cli
from unpaired.compat import equivalents, is_official
from unpaired.errors import BadInput
from unpaired.presets import PRESETS

PROJECT = Path(__file__).parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)")


def name(page):
    return page.relative_to(PROJECT).as_posix()


def blocks(page, *languages):
    return [text for language, text in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands():
    """Every `unpaired ...` line of every page, its continuations joined and its comment cut."""
    for page in PAGES:
        for block in blocks(page, "", "bash", "sh", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").partition("   #")[0].strip()
                if line.startswith("unpaired ") and "..." not in line and not re.search(r"\b[A-Z]{3,}\b", line):
                    yield pytest.param(line, id=f"{name(page)}: {line}"[:110])


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_of_the_documents_is_understood(line):
    words = shlex.split(re.split(r" [|><&] ?", line)[0])[1:]
    for argv in equivalents(words)[0] if is_official(words) else [words]:
        command, rest = cli._command(argv)
        if command == "train":
            _, rest = cli.split_settings(rest)
            assert rest[0].startswith("--") or rest[0] in PRESETS, f"no preset {rest[0]}"
        cli._parse(command, rest)


def test_a_flag_that_does_not_exist_would_be_noticed():
    with pytest.raises(BadInput, match="bogus"):
        cli._parse("evaluate", ["run", "data", "--bogus", "1"])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_in_the_documents_is_python(page):
    for block in blocks(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{name(page)}: {link}"


def test_what_the_theory_page_points_to_is_there():
    text = (PROJECT / "docs" / "theory.md").read_text(encoding="utf-8")
    for path in re.findall(r"`([\w/]+\.py)`", text):
        path = path if path.startswith("unpaired/") else f"unpaired/{path}"
        assert (PROJECT / path).is_file(), path
    source = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "unpaired").rglob("*.py"))
    for function in re.findall(r"`([a-z]+_[a-z_]+|l1)`", text):
        assert re.search(rf"\b(def )?{function}\b", source), function


def test_the_site_builds_without_a_warning(tmp_path):
    shutil.copytree(PROJECT / "docs", tmp_path / "docs")
    shutil.copy(PROJECT / "mkdocs.yml", tmp_path)
    for step in (["docs/api.py"], ["-m", "zensical", "build", "--strict"]):
        done = subprocess.run([sys.executable, *step], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "with_settings" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    assert (tmp_path / "site" / "theory.html").is_file()


def test_every_page_is_in_the_navigation():
    navigation = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (PROJECT / "docs").rglob("*.md"):
        assert page.relative_to(PROJECT / "docs").as_posix() in navigation, page
