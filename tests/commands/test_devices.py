"""Every command that runs a network takes --device, with the same names and default."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from unpaired import cli
from unpaired.cli import GROUPS
from unpaired.commands import translate as translate_command
from unpaired.core.device import NAMES
from unpaired.core.errors import BadInput
from unpaired.inference import cluster
from unpaired.inference.cluster import translate_on_cluster

COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
WITHOUT_A_NETWORK = {
    *(name for name in COMMANDS if name.startswith(("prepare", "study"))),
    *("check", "info", "models", "convert", "push", "pull"),
}
RUNNERS = {"Translator", "Engine", "load_extractor", "load_segmenter", "torch_runtime", "train", "evaluate"}
"""What runs a network when it is called."""


def test_every_command_either_takes_a_device_or_runs_no_network():
    without = {name for name, command in COMMANDS.items() if "device" not in inspect.signature(command).parameters}
    assert without == WITHOUT_A_NETWORK


@pytest.mark.parametrize("name", sorted(WITHOUT_A_NETWORK))
def test_what_runs_no_network_calls_nothing_that_does(name):
    tree = ast.parse(textwrap.dedent(inspect.getsource(COMMANDS[name])))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & RUNNERS


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_A_NETWORK))
def test_the_help_of_the_flag_names_every_device(name):
    words = " ".join(inspect.getdoc(COMMANDS[name]).split())
    assert re.search(
        rf"device: {re.escape(NAMES)}( \(runtime\.device\))?; auto takes CUDA, then MPS, then the CPU\.", words
    )


def test_a_missing_card_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    images = tmp_path / "images"
    images.mkdir()
    assert cli.run(["translate", "earth-64", str(images), str(tmp_path / "out"), "--device", "cuda"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_translate_passes_its_device_to_the_cluster(monkeypatch):
    calls = []
    monkeypatch.setattr(cluster, "translate_on_cluster", lambda *args: calls.append(args[4:7]))
    translate_command.translate(
        Path("model.safetensors"), "images", Path("out"), cluster="local", device="cpu", batch=4
    )
    assert calls == [("local", 4, "cpu")]


def test_a_numbered_card_of_a_cluster_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"--device cuda:1: with --cluster expected auto, cpu, cuda, mps"):
        translate_on_cluster(tmp_path / "model", str(tmp_path), tmp_path / "out", device="cuda:1")


def test_the_app_for_spaces_takes_a_device():
    source = (Path(cli.__file__).parent / "serve" / "gradio_app.py").read_text()
    assert 'add_argument("--device", default="auto"' in source and "load(path, device=device)" in source
