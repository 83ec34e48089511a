"""The documents: every command in them is one, every place they name is there, and the site builds."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import tomllib

import pytest

from tests.docs.blocks import PAGES, PROJECT, all_commands, blocks, name
from tests.docs.site import REPOSITORY, build_site
from unpaired import cli
from unpaired.commands.arguments import bind
from unpaired.commands.official import equivalents, is_official
from unpaired.core.errors import BadInput
from unpaired.data.prepare.published import PUBLISHED
from unpaired.experiment import flatten, with_settings
from unpaired.presets import PRESETS

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def load(script):
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{script}", PROJECT / "docs" / f"{script}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def spans():
    """Every `piece of code` in the prose of every page, its page beside it."""
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for span in SPAN.findall(prose):
            yield page, span


def commands():
    """Every `unpaired ...` line of every page, and those in its prose that are complete."""
    lines = [*all_commands(), *((page, span) for page, span in spans() if " -" in span)]
    for page, line in dict.fromkeys(lines):
        if line.startswith("unpaired ") and not re.search(r"\.\.\.|\b[A-Z]{3,}\b|\||--help", line):
            yield pytest.param(line, id=f"{name(page)}: {line}"[:110])


def settings():
    """Every `--group.setting` and `--group.setting value` in the prose: name and value, where there is one."""
    for page, span in spans():
        found = re.fullmatch(r"--((?:data|method|optim|runtime)\.[\w.-]+)(?: ([a-z0-9_.-]+))?", span)
        if found:
            yield pytest.param(found[1], found[2], id=f"{name(page)}: {span}")


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_of_the_documents_is_understood(line):
    words = shlex.split(re.split(r" [><&] ?", line)[0])[1:]
    for argv in equivalents(words).commands if is_official(words) else [words]:
        command, rest = cli._command(argv)
        if command == "train":
            _, rest = cli.split_settings(rest)
            assert rest[0].startswith("--") or rest[0] in PRESETS, f"no preset {rest[0]}"
        bind(command, cli.COMMANDS[command], rest)


def test_a_flag_that_does_not_exist_would_be_noticed():
    with pytest.raises(BadInput, match="bogus"):
        bind("evaluate", cli.COMMANDS["evaluate"], ["run", "data", "--bogus", "1"])


@pytest.mark.parametrize(("setting", "value"), list(settings()))
def test_a_setting_that_the_prose_names_is_one(setting, value):
    given, _ = cli.split_settings([f"--{setting}", *([value] if value else [])])
    experiments = [PRESETS[name]() for name in ("cyclegan", "earth", "cut", "pix2pix")]
    assert given.keys() <= set().union(*map(flatten, experiments))
    complaints = []
    for experiment in experiments if value else ():
        try:
            with_settings(experiment, given)
        except BadInput as error:
            complaints.append(str(error))
    assert len(complaints) < len(experiments), complaints


def test_the_extras_that_the_documents_name_are_there():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page in PAGES:
        for named in re.findall(r"(?:unpaired|'\.)\[([\w,]+)\]", page.read_text(encoding="utf-8")):
            assert set(named.split(",")) <= set(project["optional-dependencies"]), f"{name(page)}: {named}"


def test_the_targets_that_the_documents_name_are_in_the_makefile():
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page, line in [*all_commands(), *spans()]:
        named = re.match(r"make (\w+)", line)
        assert not named or named[1] in targets, f"{name(page)}: {line}"


def test_every_preset_is_on_its_page_with_the_steps_it_takes():
    text = (PROJECT / "docs" / "presets.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", text, re.MULTILINE))
    assert rows.keys() == PRESETS.keys()
    for preset, row in rows.items():
        experiment = PRESETS[preset]()
        counts = PUBLISHED.get(preset)
        epochs = experiment.optim.epochs + experiment.optim.decay_epochs
        steps = experiment.optim.steps or (counts and epochs * max(counts.trainA, counts.trainB))
        if preset in PUBLISHED:
            assert f"| {experiment.method.identity_weight:g} | {steps:,} |" in row, preset
        elif preset in ("earth", "earth128"):
            assert f"{steps:,} steps" in row, preset


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lines_outside_tables_have_at_most_120_columns(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    whole = re.compile(r"^\s*\||`[^`]{80,}`")  # a row of a table, or a command that must stay in one piece
    assert not [line for line in lines if len(line) > 120 and not whole.search(line)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        if anchor and target.suffix == ".py":
            assert load("sources").line_of(anchor, target.read_text(encoding="utf-8")), f"{name(page)}: {link}"
        elif anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{name(page)}: {link}"


def test_the_theory_links_every_function_that_it_names_to_its_lines():
    text = (PROJECT / "docs" / "theory.md").read_text(encoding="utf-8")
    links = dict(re.findall(r"\[`([\w.]+)`\]\(\.\./unpaired/[\w/]+\.py#(\w+)\)", text))
    assert len(links) >= 12
    for shown, anchor in links.items():
        assert shown.rpartition(".")[2] == anchor
    assert not [span for span in SPAN.findall(text) if f"[`{span}`]" not in text and not span.startswith("-")]


def test_a_link_to_what_is_not_in_its_file_would_be_noticed():
    with pytest.raises(ValueError, match="nothing is called lsgan_judge"):
        load("sources").line_of("lsgan_judge", "def lsgan_discriminator(real): ...")


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    site = build_site(tmp_path)
    assert "with_settings" in (site / "api.html").read_text(encoding="utf-8")
    assert f'href="{REPOSITORY}"' in (site / "index.html").read_text(encoding="utf-8")
    theory = (site / "theory.html").read_text(encoding="utf-8")
    (line,) = set(
        re.findall(
            r'href="source/unpaired/losses/adversarial.py.html#(line-\d+)"[^>]*><code>lsgan_discriminator', theory
        )
    )
    source = (site / "source/unpaired/losses/adversarial.py.html").read_text(encoding="utf-8")
    assert "lsgan_discriminator" in source.partition(f'id="{line}"')[2].partition("id=")[0]
    for page in (site).rglob("*.html"):
        assert not re.search(r'href="[^":]*\.py[#"]', page.read_text(encoding="utf-8")), (
            f"{page}: a link out of the site"
        )


def test_the_api_page_documents_what_the_readme_and_the_home_page_teach():
    page = load("api").page()
    for path in ("README.md", "docs/index.md"):
        taught = "".join(block.text for block in blocks(PROJECT / path) if block.language == "python")
        for call in re.findall(r"unpaired\.(?!presets)[\w.]+", taught):
            assert f"{call}(" in page, call
        for made in re.findall(r"unpaired\.presets\.(\w+)", taught):
            assert f"| `{made}` |" in page, made


def test_the_readme_installs_the_extras_of_its_first_commands():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    installed = re.search(r"pip install '\.\[([\w,]+)\]'", readme)
    assert installed
    for command, extra in (("prepare earth", "demo"), ("serve", "serve"), ("demo", "demo")):
        assert f"unpaired {command}" in readme and extra in installed[1].split(","), command


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("https://example.org/team/unpaired.git", "https://example.org/team/unpaired"),
        ("https://user:secret@example.org/team/unpaired", "https://example.org/team/unpaired"),
        ("git@example.org:team/unpaired.git", "https://example.org/team/unpaired"),
        ("/a/folder", ""),
        (None, ""),
    ],
)
@pytest.mark.slow  # starts git and make
def test_the_site_links_the_repository_that_was_cloned(tmp_path, origin, shown):
    shutil.copy(PROJECT / "Makefile", tmp_path)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if origin:
        subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", origin], check=True)
    asked = ["make", "-s", "-C", tmp_path, "--eval", "shown: ; @echo '$(REPO_URL)'", "shown"]
    env = {name: value for name, value in os.environ.items() if name not in ("REPO_URL", "MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(asked, capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == shown


def test_every_page_is_in_the_navigation():
    navigation = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (PROJECT / "docs").rglob("*.md"):
        assert page.relative_to(PROJECT / "docs").as_posix() in navigation, page
