"""The command line as a user meets it: exit codes, one line of complaint, help, and the way through the README."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.data_sets import make_data, make_model, shapes
from tests.terminal import in_terminal
from unpaired import cli
from unpaired.checkpoints.bundle import BUNDLE
from unpaired.checkpoints.run_state import checkpoint_of, seal
from unpaired.cli import COMMANDS, GROUPS, run
from unpaired.commands.train_settings import COMMON, split_settings
from unpaired.core.errors import Stopped
from unpaired.core.version import __version__
from unpaired.experiment import flatten, to_yaml
from unpaired.presets import preset
from unpaired.training.trainer import Trainer

QUICK = ["--runtime.precision", "fp32", "--runtime.threads", "1", "--data.workers", "0"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("cli") / "run").parent


def complaint(capsys, *argv, code=2):
    """The one line on stderr of a command that must fail; nothing but progress is said there beside it."""
    assert run([str(word) for word in argv]) == code
    said = capsys.readouterr()
    assert re.fullmatch(r"(check: \d+ done\n)?unpaired: [^\n]+\n", said.err), said.err
    assert "Traceback" not in said.err + said.out
    return said.err


def train(data, out="run", *more):
    return ["train", "smoke", "--data", data, "--out", out, *QUICK, *more]


def everything(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in Path(folder).rglob("*")}


# Usage


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["trian"], "unknown command trian; did you mean train?"),
        (["tranlsate", "a", "b", "c"], "did you mean translate?"),
        (["zzzzz"], "unknown command zzzzz; `unpaired --help` lists them"),
        (["--verbose"], "unknown command --verbose"),
        (["train"], "train needs PRESET, --data FOLDER and --out FOLDER"),
        (["train", "smoke", "--data", "x"], "train needs --out FOLDER"),
        (["train", "smoke", "--data", "x", "--out"], "train: --out needs FOLDER"),
        (["train", "smoek", "--data", "x", "--out", "y"], "unknown preset smoek; did you mean smoke?"),
        (
            ["train", "nothing like it", "--data", "x", "--out", "y"],
            "there are smoke, quick, standard, cyclegan, cut, fastcut, pix2pix, earth",
        ),
        (["train", "smoke", "--data", "x", "--out", "y", "--sed", "1"], "no flag --sed; did you mean --seed?"),
        (["train", "smoke", "--data", "x", "--out", "y", "--step", "3"], "no flag --step; did you mean --steps?"),
        (["train", "smoke", "--data", "x", "--out", "y", "--lr", "3"], "no flag --lr; did you mean --optim.lr?"),
        (["train", "smoke", "--data", "x", "--out", "y", "--zzzz"], "`unpaired train --help` lists them"),
        (
            ["train", "smoke", "--data", "x", "--out", "y", "--steps", "many"],
            "--steps: expected a whole number, got many",
        ),
        (["train", "smoke", "--data", "x", "--out", "y", "--steps", "0"], "optim.steps must be at least 1, got 0"),
        (["train", "smoke", "--data", "x", "--out", "y", "--seed", "-1"], "runtime.seed must be at least 0, got -1"),
        (["train", "smoke", "--data", "x", "--out", "y", "--config", "no.yaml"], "no.yaml: cannot be read"),
        (["translate", "model"], "translate needs INPUT and OUTPUT"),
        (["translate", "a", "b", "c", "d"], "translate takes MODEL INPUT OUTPUT; found d besides"),
        (["translate", "a", "b", "c", "--directoin", "AtoB"], "no flag --directoin; did you mean --direction?"),
        (
            ["translate", "a", "b", "c", "--direction", "AtoC"],
            "--direction: expected AtoB or BtoA, got AtoC; did you mean AtoB?",
        ),
        (["info"], "info needs MODEL"),
        (["check"], "check needs DATA"),
        (["evaluate"], "evaluate needs MODEL and DATA"),
        (["evaluate", "a", "b", "--paired", "maybe"], "maybe"),
        (["demo", "out", "--steps", "few"], "few"),
        (["prepare", "folders", "out", "--a", "x"], "prepare folders needs --b FOLDER"),
        (["prepare", "earth", "out", "--pair", "moon-mars"], "moon-mars"),
        (["prepare", "horse2zebr", "out"], "horse2zebra"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_answered_in_one_line_that_helps(capsys, argv, words):
    assert words in complaint(capsys, *argv)
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--optim.lrr", "1e-4"], "unknown setting optim.lrr; did you mean optim.lr?"),
        (["--optim.learning-rate", "1e-4"], "unknown setting optim.learning_rate"),
        (["--generator.width", "8"], "did you mean method.generator.width?"),
        (["--optim.lr", "fast"], "optim.lr: input should be a valid number"),
        (["--optim.lr", "-1"], "optim.lr must be positive"),
        (["--optim.lr", "nan"], "optim.lr must be positive"),
        (["--data.preprocess", "squash"], "data.preprocess: input should be 'resize_and_crop', 'crop'"),
        (["--data.crop-size", "40"], "data.crop_size (40) must not exceed data.load_size (36)"),
        (["--data.crop-size", "30"], "must divide by 4"),
        (["--data.crop-size", "4"], "4x4"),
        (["--data.batch", "0"], "data.batch must be at least 1, got 0"),
        (["--method.name", "pix2pixHD"], "method"),
        (["--method.generator.name", "unet", "--method.generator.width", "2"], "divide by 256"),
        (["--method.adversarial", "wgan"], "wgan"),
        (["--data.channels-a", "1"], "set --method.identity-weight 0"),
        (["--runtime.device", "tpu"], "tpu"),
        (["--runtime.keep", "0"], "runtime.keep must be at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_setting_that_cannot_be_is_named_before_anything_is_written(capsys, data, flags, words):
    assert words in complaint(capsys, *train(data, "run", *flags))
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim: {lrate: 1e-4}", "run.yaml: unknown setting optim.lrate; did you mean optim.lr?"),
        ("optim: [1, 2]", "run.yaml"),
        ("- 1", "run.yaml: expected settings as"),
        ("optim: {lr: 1e-4", "run.yaml: not valid YAML or JSON"),
        ("", "run.yaml: expected settings as"),
    ],
)
def test_a_file_of_settings_that_is_none_is_named(capsys, data, text, words):
    Path("run.yaml").write_text(text)
    assert words in complaint(capsys, *train(data, "run", "--config", "run.yaml"))


@pytest.mark.slow
def test_flags_win_over_the_file_and_the_file_over_the_preset(data):
    Path("run.json").write_text(json.dumps({"optim": {"lr": 1e-3, "beta1": 0.4, "steps": 50}, "runtime.seed": 9}))
    flags = ["--config", "run.json", "--optim.lr=2e-3", "--steps", "1", "--data.no-flip"]
    assert run([str(word) for word in train(data, "run", *flags)]) == 0
    config = Path("run/config.yaml").read_text()
    for line in ("lr: 0.002", "beta1: 0.4", "steps: 1\n", "seed: 9", "flip: false"):
        assert line in config


def helped(capsys, *argv):
    """What a command line that asks for help prints."""
    try:
        code = run([*argv])
    except SystemExit as stop:  # argparse's way out after printing
        code = stop.code
    said = capsys.readouterr()
    assert not code and said.err == ""
    return said.out


@pytest.mark.parametrize("name", [*COMMANDS, "prepare horse2zebra"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help_in_80_columns_with_one_example(capsys, monkeypatch, name, flag):
    monkeypatch.setenv("COLUMNS", "80")
    text = helped(capsys, *name.split(), flag)
    command = COMMANDS.get(name) or COMMANDS["prepare"]
    if name == "prepare":  # the first word of several commands
        assert "prepare folders" in text
        return
    assert command.__doc__.partition("\n")[0] in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    (example,) = re.findall(r"\nexample:\n  (unpaired .+)\n", text)
    assert name == "prepare horse2zebra" or example.startswith(f"unpaired {name}")


def test_the_names_of_arguments_are_words_and_not_types(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = helped(capsys, "translate", "--help")
    assert text.startswith("usage: unpaired translate MODEL INPUT OUTPUT [--flag ...]\n")
    assert "STR" not in text and "{None}" not in text
    assert "[EXPERIMENTS ...]" in helped(capsys, "reproduce", "--help")
    assert "--data FOLDER --out FOLDER" in helped(capsys, "train", "--help")
    assert "--no-exact" in helped(capsys, "serve", "--help")


def test_the_example_of_every_command_is_a_command_line_it_takes(capsys, monkeypatch):
    """Each example reaches its function with the arguments bound; the function is replaced."""
    from unpaired.commands.arguments import bind

    monkeypatch.setenv("COLUMNS", "80")
    for name in (name for name in COMMANDS if name != "prepare"):
        text = helped(capsys, *name.split(), "--help")
        example = text[text.index("example:\n  unpaired ") + len("example:\n  unpaired ") :].split()
        bind(name, COMMANDS[name], example[len(name.split()) :])


def test_help_lists_every_command_by_group_and_prepare_its_own(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    listed = helped(capsys, "--help")
    for name in COMMANDS:
        assert f"\n  {name} " in listed
    assert [line[:-1] for line in listed.splitlines() if re.fullmatch(r"[a-z]+:", line)] == list(GROUPS)
    assert max(map(len, listed.splitlines())) <= 80
    listed = helped(capsys, "prepare", "--help")
    assert "prepare folders" in listed and "  train " not in listed
    assert run([]) == run(["prepare"]) == 2


def test_help_of_a_preset_lists_twenty_settings_with_their_values_and_help_all_the_rest(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = helped(capsys, "train", "smoke", "--help")
    assert len(COMMON) == 20
    for flag in ("--optim.lr 0.0002", "--method.identity-weight 5.0", "--data.crop-size 32", "--data.flip true"):
        assert f"\n  {flag} " in text
    assert len(re.findall(r"^  --", text, re.MULTILINE)) == 20 and max(map(len, text.splitlines())) <= 80
    assert "--runtime.save-every" not in text
    assert "(resize_and_crop | crop | scale_width | scale_width_and_crop | none)" in " ".join(text.split())
    everything = helped(capsys, "train", "smoke", "--help-all")
    for key in flatten(preset("smoke")):
        assert f"\n  --{key.replace('_', '-')} " in everything or key in ("name", "method.name", "data.root")
    assert "\n  --optim.steps 20 " in everything and "\n  --optim.discriminator-lr none" in everything
    changed = helped(capsys, "train", "smoke", "--method.generator.name", "unet", "--help-all")
    assert "--method.generator.downs 8" in changed and "resnet | unet" in changed
    assert "unknown preset smoek" in complaint(capsys, "train", "smoek", "--help")


def test_the_version_is_printed(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("argv", "settings", "rest"),
    [
        ([], {}, []),
        (["smoke", "--data", "x.y"], {}, ["smoke", "--data", "x.y"]),
        (["--optim.lr", "1e-4", "smoke"], {"optim.lr": "1e-4"}, ["smoke"]),
        (["--optim.lr=1e-4"], {"optim.lr": "1e-4"}, []),
        (["--optim.lr=a=b"], {"optim.lr": "a=b"}, []),
        (["--optim.lr="], {"optim.lr": ""}, []),
        (["--optim.lr", "-1"], {"optim.lr": "-1"}, []),
        (["--data.crop-size", "64"], {"data.crop_size": "64"}, []),
        (["--data.flip"], {"data.flip": "true"}, []),
        (["--data.no-flip"], {"data.flip": "false"}, []),
        (["--data.flip", "--data.batch", "2"], {"data.flip": "true", "data.batch": "2"}, []),
        (["--data.flip", "false", "--seed", "1"], {"data.flip": "false"}, ["--seed", "1"]),
        (
            ["--optim.steps", "none", "--optim.discriminator-lr=null"],
            {"optim.steps": "none", "optim.discriminator_lr": "null"},
            [],
        ),
        (["--method.generator.width", "8"], {"method.generator.width": "8"}, []),
        (["--out", "./a.b", "-h"], {}, ["--out", "./a.b", "-h"]),
        (["--out=runs/v1.2", "--data=d.d"], {}, ["--out=runs/v1.2", "--data=d.d"]),
    ],
    ids=" ".join,
)
def test_settings_are_told_from_options_by_their_dot(argv, settings, rest):
    assert split_settings(argv) == (settings, rest)


# Data that cannot be used


def spoil(root, what):
    """Make the data set unfit; returns what the complaint must say."""
    if what == "no folder":
        shutil.rmtree(root)
        return "expected a folder that holds trainA and trainB, found none"
    if what == "no domain":
        shutil.rmtree(root / "trainB")
        return "trainB"
    if what == "empty domain":
        shutil.rmtree(root / "trainB")
        (root / "trainB").mkdir()
        return "no images in"
    if what == "text":
        (root / "trainA/03.png").write_text("not an image\n")
        return "03.png"
    if what == "truncated":
        path = root / "trainB/02.png"
        path.write_bytes(path.read_bytes()[:70])
        return "02.png"
    shapes("A", 0).resize((20, 20)).save(root / "trainA/03.png")
    return "crop_size"


@pytest.mark.parametrize("what", ["no folder", "no domain", "empty domain", "text", "truncated", "small"])
def test_data_that_training_cannot_use_are_named_before_a_run_is_made(capsys, tmp_path, what):
    root = make_data(tmp_path / "data")
    words = spoil(root, what)
    argv = train(root, "run", "--data.preprocess", "crop", "--data.crop-size", "32", "--steps", "30")
    assert run([str(word) for word in argv]) == 2
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("unpaired:")]
    assert words in line and "Traceback" not in said
    assert not Path("run", BUNDLE).exists()


@pytest.mark.parametrize("what", ["no folder", "no domain", "empty domain", "text", "truncated"])
def test_the_doctor_finds_them_too(capsys, tmp_path, what):
    root = make_data(tmp_path / "data")
    words = spoil(root, what)
    assert run(["check", str(root)]) == 2
    said = capsys.readouterr()
    name = words if words.endswith(".png") else "data" if what == "no folder" else "trainB"
    assert name in said.out + said.err and "Traceback" not in said.err


@pytest.mark.slow
def test_empty_test_folders_are_as_none(capsys, tmp_path):
    root = make_data(tmp_path / "data")
    for side in "AB":
        shutil.rmtree(root / f"test{side}")
        (root / f"test{side}").mkdir()
    assert run([str(word) for word in train(root, "run", "--steps", "1")]) == 0
    assert run(["check", str(root)]) == 0
    capsys.readouterr()
    assert "expected test images in" in complaint(capsys, "evaluate", "run", root)


@pytest.mark.slow
def test_one_image_a_side_is_enough_to_train_and_too_few_to_split(capsys, tmp_path, data):
    root = make_data(tmp_path / "data", a=1, b=1, test=1)
    assert run([str(word) for word in train(root, "run", "--steps", "2")]) == 0
    capsys.readouterr()
    argv = ["prepare", "folders", "split", "--a", root / "trainA", "--b", data / "trainB"]
    assert "found only 00.png" in complaint(capsys, *argv)
    assert not Path("split").exists()


@pytest.mark.parametrize("command", ["train", "prepare", "translate"])
def test_an_output_inside_a_file_is_refused_and_the_file_left_alone(capsys, data, model, command):
    Path("file").write_text("mine")
    argv = {
        "train": train(data, "file/run"),
        "prepare": ["prepare", "folders", "file/set", "--a", data / "trainA", "--b", data / "trainB"],
        "translate": ["translate", model, data / "testA", "file/out"],
    }[command]
    assert run([str(word) for word in argv]) == 2
    said = capsys.readouterr().err
    assert "file" in said.splitlines()[-1] and said.splitlines()[-1].startswith("unpaired:")
    assert "Traceback" not in said
    assert Path("file").read_text() == "mine" and os.listdir() == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(capsys, data):
    Path("locked").mkdir(mode=0o500)
    assert "locked" in complaint(capsys, *train(data, "locked/run"))


# Models that are none


@pytest.mark.parametrize("command", ["translate", "info", "evaluate"])
@pytest.mark.parametrize("kind", ["missing", "folder", "text"])
def test_what_is_no_model_is_named(capsys, data, command, kind):
    if kind == "folder":
        Path("model").mkdir()
    elif kind == "text":
        Path("model").write_text("weights")
    argv = {
        "translate": ["translate", "model", data / "testA", "out"],
        "info": ["info", "model"],
        "evaluate": ["evaluate", "model", data],
    }[command]
    assert "model" in complaint(capsys, *argv)
    assert not Path("out").exists()


def test_a_image_that_is_not_there_is_named_and_nothing_written(capsys, model):
    assert "nowhere.png" in complaint(capsys, "translate", model, "nowhere.png", "out")
    assert os.listdir() == []


def test_a_step_without_a_checkpoint_is_named_with_those_kept(capsys, data):
    for step in (5, 10):
        folder = Path(f"run/checkpoints/step-{step:08d}")
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(seal({"format": 1, "step": step, "files": {}}))
    assert checkpoint_of(Path("run"), "step 10", step=10) == Path("run/checkpoints/step-00000010")
    words = "run: no checkpoint of step 7 is kept; there is step 5, 10; --runtime.keep-every N keeps"
    assert words in complaint(capsys, "translate", "run", data / "testA", "out", "--at", "7")
    assert words in complaint(capsys, "evaluate", "run", data, "--at", "7")


# Exit codes


def test_stopping_is_75_interrupting_130_and_a_full_disk_2(capsys, monkeypatch):
    for error, code, words in (
        (Stopped("stopped after step 3"), 75, "stopped after step 3"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "run/x"), 2, "run/x: No space left on device; check the disk's space"),
    ):

        def fails(*, error=error):
            raise error

        monkeypatch.setitem(COMMANDS, "demo", fails)
        assert words in complaint(capsys, "demo", code=code)


def test_an_error_of_several_lines_is_said_in_one(capsys, monkeypatch):
    def fails():
        raise cli.BadInput("first\n  second\tthird")

    monkeypatch.setitem(COMMANDS, "demo", fails)
    assert complaint(capsys, "demo") == "unpaired: first second third\n"


@pytest.mark.slow
def test_a_run_stopped_by_a_signal_exits_with_75_and_goes_on(capsys, data, monkeypatch):
    plain = Trainer.train_step

    def train_step(self, *batch):
        signal.raise_signal(signal.SIGTERM)
        return plain(self, *batch)

    argv = [str(word) for word in train(data, "run", "--steps", "3")]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        assert run(argv) == 75
    assert "unpaired: stopped after step 1 of 3; the same command resumes" in capsys.readouterr().err.splitlines()
    assert run(argv) == 0
    assert "resumes after step 1" in capsys.readouterr().err
    assert run(argv) == 0
    assert "finished, 3 of 3 steps done" in capsys.readouterr().err
    assert "optim.steps was 3 and is now 4" in complaint(capsys, *train(data, "run", "--steps", "4"))


def python(*argv, **options):
    return subprocess.run(
        [sys.executable, *map(str, argv)], capture_output=True, text=True, timeout=120, check=False, **options
    )


@pytest.mark.slow
def test_the_module_is_the_command():
    done = python("-m", "unpaired", "train", "--help")
    assert done.returncode == 0 and "--data" in done.stdout


@pytest.mark.slow
def test_the_process_exits_with_2_and_one_line():
    done = python("-m", "unpaired", "train", "smoke", "--data", "nowhere", "--out", "run")
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"unpaired: nowhere: expected a folder [^\n]+\n", done.stderr)


@pytest.mark.slow
def test_a_reader_that_stops_reading_is_no_error(model):
    command = f"{sys.executable} -m unpaired info {model} --json | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""


# The whole way


def test_two_folders_become_a_model_and_images(capsys, tmp_path):
    """prepare, check, train, info, translate, evaluate, each as the README has them."""
    source = make_data(tmp_path / "source", a=8, b=7, test=0)
    for side in "AB":
        (source / f"train{side}").rename(tmp_path / f"mine{side}")
    assert run(["prepare", "folders", "set", "--a", "mineA", "--b", "mineB", "--test-share", "0.3"]) == 0
    assert capsys.readouterr().out == "set: testA 2, testB 2, trainA 6, trainB 5\n"
    assert run(["check", "set"]) == 0
    assert "nothing refused" in capsys.readouterr().out
    assert run(["check", "set", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert run([str(word) for word in train("set", "run", "--steps", "2")]) == 0
    assert "report: run/report.html" in capsys.readouterr().out
    assert "<html" in Path("run/report.html").read_text()[:500]
    assert run(["info", "run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("smoke: cyclegan after 2 steps") and "trained on set at 32 px" in said
    assert "AtoB (mineA → mineB): " in said
    assert run(["info", "run", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    sizes = {name.partition(".")[0]: 0 for name in load_file(Path("run", BUNDLE))}
    for name, weight in load_file(Path("run", BUNDLE)).items():
        sizes[name.partition(".")[0]] += weight.numel()
    assert facts["step"] == 2 and facts["parameters"] == sizes
    assert facts["experiment"]["optim"]["steps"] == 2
    before = everything("set")
    assert run(["translate", "run", "set/testA", "out", "--direction", "AtoB"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(
        path.name for path in Path("set/testA").iterdir()
    )
    with Image.open(next(Path("out").iterdir())) as image:
        assert image.size == (40, 36) and image.mode == "RGB"
    assert everything("set") == before
    capsys.readouterr()
    assert run(["evaluate", "run", "set", "--paired", "no"]) == 0  # no terminal: JSON
    judged = json.loads(capsys.readouterr().out)
    assert {"AtoB", "BtoA"} <= judged.keys()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
@pytest.mark.slow
def test_evaluate_ends_with_its_table_on_a_terminal_and_prints_json_where_asked(data, model, columns, rows):
    command = [sys.executable, "-m", "unpaired", "evaluate", str(model), str(data), "--paired", "yes"]
    code, lines = in_terminal(command, columns, rows)
    assert code == 0 and all(len(line) <= columns for line in lines)
    assert not any(line.startswith("{") for line in lines)
    titles = [line for line in lines if re.match(r"[AB] to [AB], ", line)]
    assert titles[0].startswith("A to B, ") and titles[1].startswith("B to A, ")
    header = lines[lines.index(titles[0]) + 1]
    assert ("histogram matching" in header) == (columns == 200) and header.split()[-1] == "better"
    if columns == 80:
        code, lines = in_terminal([*command, "--json", "--limit", "2"], columns, rows)
        assert code == 0 and any(line.startswith('{"AtoB": ') for line in lines)


def test_a_run_in_a_folder_that_cannot_be_written_is_evaluated(capsys, data, tmp_path, monkeypatch):
    run_folder = tmp_path / "run"
    make_model(run_folder)
    (run_folder / "config.yaml").write_text(to_yaml(preset("smoke")))
    before = everything(run_folder)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != run_folder and allowed(path, mode))
    assert run(["evaluate", str(run_folder), str(data), "--paired", "no", "--out", "numbers.json"]) == 0
    said = capsys.readouterr()
    assert "AtoB" in json.loads(said.out) and "AtoB" in json.loads(Path("numbers.json").read_text())
    assert f"note: {run_folder} cannot be written: its report stays as it is" in said.err
    assert everything(run_folder) == before


@pytest.mark.slow
def test_the_threads_asked_for_are_those_used(data):
    assert run([str(word) for word in train(data, "run", "--steps", "1")]) == 0
    assert torch.get_num_threads() == 1
