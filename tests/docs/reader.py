"""A reader who does what a page says, in order, in a folder of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.docs.blocks import COMMANDS, PROJECT, Block, commands
from tests.docs.world import EARTH
from tests.serve.running import server
from unpaired.cli import run
from unpaired.core.safe_text import parse_json
from unpaired.experiment import read_settings, with_settings
from unpaired.presets import preset

PATIENCE = 300.0
"""Seconds that a server, or a command of the shell, may take; this machine may have other things to do."""

SMALLER: dict[str, dict[str, str]] = {
    "unpaired prepare earth": EARTH,
    "unpaired train earth": {"--steps": "2"},
    "unpaired train standard": {"--data.crop-size": "32", "--steps": "2"},
    "unpaired bench": {"--size": "32", "--width": "4", "--blocks": "1", "--repeats": "1"},
    "unpaired segmenter": {"--steps": "2", "--width": "4"},
    "unpaired reproduce": {"--budget": "smoke", "--seeds": "1", "--methods": "CycleGAN"},
}
"""Commands that would take long, and the flags with which they don't; in place of the page's own where it has them."""

EXCUSED: dict[str, str] = {
    "pip install": "installs packages; the tests run where all extras are installed already",
    "make ": "sets up an environment of its own; another test holds its targets to the Makefile",
    "unpaired demo": "tests/test_demo.py runs it",
    "docker ": "no engine here; tests/docs/test_dockerfile.py holds what stands in it to the project",
    "hf auth login": "asks for a person's token of the real hub",
    "ray start": "starts servers that outlive it; tests/inference/test_cluster.py has a cluster of three nodes",
    "unpaired translate runs/mine photos out --cluster": "starts Ray; tests/inference/test_cluster.py runs it",
    "python -m benchmarks.": "a benchmark, minutes to hours long; tests/bench runs what can be run small",
    "const { data": "JavaScript of a page of the reader's own, with onnxruntime-web",
    "from unpaired.serve.gradio_app": "gradio asks for another Pillow; tests/serve/test_gradio.py runs it where it is",
    **{
        f"unpaired prepare {name} ": "downloads a published set; tests/data/prepare has archives of its own"
        for name in ("horse2zebra", "iphone2dslr_flower", "monet2photo", "summer2winter_yosemite", "vangogh2photo")
    },
}
"""Beginnings of lines that are not run, with the reason."""


def excuse(line: str) -> str | None:
    """Why a line is not run, if it is not."""
    return next((reason for start, reason in EXCUSED.items() if line.startswith(start)), None)


class Reader:
    """Follows the blocks of one page in `folder`, which is the working directory.

    Reproductions of all readers go to `shelf`, where what one has trained the next finds; Python begins with `names`.
    """

    def __init__(self, folder: Path, shelf: Path, names: dict[str, Any], end: ExitStack) -> None:
        self.folder, self.shelf, self.names, self.end = folder, shelf, names, end
        self.ports: dict[str, str] = {}
        """Ports that the page names, and the free ones that its servers got."""

    def follow(self, block: Block) -> None:
        """Do what one block says.

        Raises:
            AssertionError: a command failed, or it is of a kind that is neither run nor excused.
        """
        if block.language in COMMANDS:
            for command in commands(block):
                if not excuse(command):
                    self._do(command, block.place)
        elif excuse(block.text):
            return
        elif block.language == "python":
            exec(compile(block.text, block.place, "exec"), self.names)
        elif block.language == "yaml":  # the file of settings that the page speaks of
            path = self.folder / "settings.yaml"
            path.write_text(block.text, encoding="utf-8")
            with_settings(preset("cyclegan"), read_settings(path), block.place)
        elif block.language == "json":
            parse_json(block.text)
        else:
            assert block.language == "text", f"{block.place}: what is {block.language}?"

    def _do(self, command: str, place: str) -> None:
        line = smaller(command)
        if line.startswith("unpaired reproduce"):
            line = re.sub(r" --out \S+", f" --out {self.shelf}", line)
        words = line.split()
        if words[:2] == ["unpaired", "serve"] or words[:3] == ["unpaired", "study", "serve"]:
            self._serve(shlex.split(line)[1:])
        elif words[0] == "unpaired" and not re.search(r"[<>|$;&]", line):
            assert run(shlex.split(line)[1:]) == 0, f"{place}: {line}"
        else:
            assert words[0] in ("unpaired", "python", "curl", "echo"), f"{place}: neither run nor excused: {command}"
            self._shell(line, place)

    def _serve(self, words: list[str]) -> None:
        at = words.index("--port") if "--port" in words else len(words)
        port = words[at + 1] if at < len(words) else "8000"
        first = 2 if words[0] == "study" else 1
        arguments = [*words[first:at], *words[at + 2 :]]
        started = server(*arguments, command=" ".join(words[:first]), ready=False, PYTHONPATH=str(PROJECT))
        running = self.end.enter_context(started)
        if words[0] == "serve":
            running.wait_ready(PATIENCE)
        self.ports[port] = running.url.rpartition(":")[2]

    def _shell(self, line: str, place: str) -> None:
        line = re.sub(r"(127\.0\.0\.1:)(\d+)", lambda found: found[1] + self.ports[found[2]], line)
        line = re.sub(r"^curl ", "curl --fail --silent --show-error --noproxy '*' ", line)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(PROJECT)}
        done = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, timeout=PATIENCE)
        assert done.returncode == 0, f"{place}: {line}\n{done.stderr.decode()}"


def smaller(command: str) -> str:
    """The command with what makes it quick, if it needs that."""
    for start, flags in SMALLER.items():
        if command.startswith(start):
            for flag, value in flags.items():
                command = re.sub(rf' {flag} ("[^"]*"|\S+)', "", command) + f" {flag} {value}"
    return command
