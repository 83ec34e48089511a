"""The Dockerfile against the project; no engine builds it here, so nothing is said of the image itself."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import tomllib

import pytest

from tests.docs.blocks import PROJECT, all_commands
from unpaired import cli
from unpaired.commands.arguments import bind
from unpaired.commands.train_settings import split_settings

LINES = (PROJECT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
TOLD = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
RUNS = [line for _, line in all_commands() if line.startswith("docker run")]
WITH_VALUE = {"-v", "-p", "-e", "--gpus", "--user", "--cpus"}


def instructions(name):
    return [line.split(maxsplit=1)[1] for line in LINES if line.startswith(f"{name} ")]


def copied():
    return [source for line in instructions("COPY") for source in line.split()[:-1]]


def test_everything_it_copies_is_there_and_not_ignored():
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[1] == "*" and kept == set(copied())
    assert all((PROJECT / source).exists() for source in copied())


def test_what_it_copies_is_what_the_package_is_built_from():
    project, wheel = TOLD["project"], TOLD["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {"pyproject.toml", project["readme"], *project["license-files"], *wheel["packages"]} == set(copied())


def test_its_extras_and_its_torch_are_those_of_the_project():
    (extras,) = [line.partition("=")[2].split(",") for line in instructions("ARG") if line.startswith("EXTRAS=")]
    assert set(extras) <= set(TOLD["project"]["optional-dependencies"])
    (torch,) = re.findall(r'"(torch[^"]*)"', " ".join(instructions("RUN")))
    assert torch in TOLD["project"]["dependencies"]


def test_its_python_is_new_enough():
    (image,) = instructions("FROM")
    found = re.fullmatch(r"python:3\.(\d+)-slim", image)
    assert found and TOLD["project"]["requires-python"] == ">=3.11" and int(found[1]) >= 11


def test_it_ends_as_a_user_who_is_not_root_and_runs_the_command():
    assert instructions("USER")[-1] not in ("root", "0")
    (entry,) = instructions("ENTRYPOINT")
    assert json.loads(entry) == ["unpaired"] and "unpaired" in TOLD["project"]["scripts"]


@pytest.mark.parametrize("line", RUNS)
def test_what_the_page_asks_of_a_container_is_understood(line):
    words = shlex.split(line)[2:]
    while words[0].startswith("-"):
        words = words[2 if words[0] in WITH_VALUE else 1 :]
    image, *argv = words
    assert fnmatch.fnmatch(image, "unpaired*")
    command, rest = cli._command(argv)
    bind(command, cli.COMMANDS[command], split_settings(rest)[1] if command == "train" else rest)
    if command == "serve":  # 127.0.0.1, the default, is reached from inside the container only
        assert "0.0.0.0" in argv and instructions("EXPOSE") == ["8000"]


def test_the_page_says_that_no_image_was_built():
    assert "**not built by the tests**" in (PROJECT / "docs" / "docker.md").read_text(encoding="utf-8")
