"""The official code's command lines in this package's words.

`unpaired train --dataroot ... --name ... --model cycle_gan ...` and `unpaired test ...` are read as train.py's and
test.py's. Nothing is written; folders are read to distinguish a run from official weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from unpaired.commands import official_flags as table
from unpaired.commands.arguments import Parser, nearest_flag
from unpaired.commands.train import train
from unpaired.commands.translate import translate
from unpaired.core.errors import BadInput

ALLOW = "--allow-config-change"
Flags = dict[str, str]
"""Flags that were given, by their latest names, and their values; a switch has an empty one."""


@dataclass
class Equivalent:
    """The counterpart of an official command line."""

    commands: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def is_official(argv: list[str]) -> bool:
    """Whether a command line is meant for train.py or test.py."""
    flags = {argument.partition("=")[0] for argument in argv[1:]}
    return argv[:1] in (["train"], ["test"]) and "--dataroot" in flags


def equivalents(argv: list[str]) -> Equivalent:
    """This package's command lines for an official one, with a note for each flag without effect.

    Raises `BadInput` for flags or values without a counterpart, all named at once with what to do.
    """
    training = argv[0] == "train"
    flags, ours = _parsed(argv[1:], Parser("train", train) if training else Parser("translate", translate))
    _refuse_others(flags, table.TEST_ONLY if training else table.TRAIN_ONLY, "test.py" if training else "train.py")
    flags["name"] = _name(flags)
    return _train(flags, ours) if training else _test(flags, ours)


class _Official(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(message.replace("argument ", "").replace("expected one argument", "a value is missing"))


def _parsed(arguments: list[str], own: Parser) -> tuple[Flags, list[str]]:
    """Official flags by their latest names, and the words that are this package's: settings and flags of `own`."""
    parser = _Official(add_help=False, allow_abbrev=False)
    for name in table.KNOWN:
        spellings = [f"--{name}", *(f"--{old}" for old, new in table.OLD_NAMES.items() if new == name)]
        more: dict[str, Any] = {"action": "store_const", "const": ""} if name in table.SWITCHES else {}
        more |= {"nargs": "?", "const": "true", "type": str.lower} if name in table.YES_OR_NO else {}
        parser.add_argument(*spellings, dest=name, default=argparse.SUPPRESS, **more)
    flags, rest = parser.parse_known_args(arguments)
    unknown, known = [], False
    for word in rest:
        flag = word.partition("=")[0]
        if word.startswith("--"):
            known = "." in flag or flag in own.flags
        if not known:
            hint = nearest_flag(word, map("--{}".format, table.KNOWN)) if word.startswith("--") else ""
            unknown.append(f"{word}{hint}")
    if unknown:
        raise BadInput(f"not flags of the official code: {', '.join(unknown)}. docs/switching.md lists them all")
    return vars(flags), rest


def _train(flags: Flags, ours: list[str]) -> Equivalent:
    preset, settings = _method(flags)
    found = _accepted(flags, table.CHOICES, table.NOT_NEEDED)
    one_way = preset in ("cut", "fastcut")
    same = {flag: setting for flag, setting in table.SAME.items() if not (one_way and flag == "pool_size")}
    settings |= {setting: flags[flag] for flag, setting in same.items() if flag in flags}
    for flag, of_value in table.CHOICES.items():
        settings |= of_value[flags[flag]] if flag in flags else {}
    batch = max(1.0, _number(flags, "batch_size", 1))
    every = {setting: _number(flags, flag, 1) for flag, setting in table.EVERY.items() if flag in flags}
    settings |= {setting: f"{max(1, images // batch):.0f}" for setting, images in every.items()}
    settings |= _by_network(flags) | _weights(flags)
    chosen = [network for flag, network in (("netG", "generator"), ("netD", "discriminator")) if flag in flags]
    for setting, value in table.OF_NETWORKS.get(preset, {}).items():  # which a network of another name starts without
        if setting.split(".")[1] in chosen:
            settings.setdefault(setting, value)
    out, data, device = _folder(flags, "checkpoints_dir"), _data(flags, found), _device(flags, found)
    settings |= {"runtime.device": device} if device else {}
    command = ["train", preset, "--data", data, "--out", str(out)]
    command += [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", value)]
    if "continue_train" in flags:
        ours = [ALLOW, *(word for word in ours if word != ALLOW)]
        found.notes.append(_continued(out))
    if one_way and "pool_size" in flags:
        found.notes.append("--pool_size: CUT shows its discriminator the translations of the step alone")
    if flags.get("direction") == "BtoA" and not one_way:
        found.notes.append("--direction: both are learnt; A stays folder A, and `translate --direction` chooses")
    found.commands.append([*command, *ours])
    return found


def _test(flags: Flags, ours: list[str]) -> Equivalent:
    """One `unpaired translate ... --layout official` for each direction that test.py would run.

    Images are resized to the training size, as test.py does unless `--preprocess none` is given.
    """
    single = flags.get("model") == "test"
    if not single:
        _method(flags)
    choices = {"dataset_mode": ("unaligned", "aligned", "single"), "direction": table.CHOICES["direction"]}
    found = _accepted(flags, choices, table.AT_TEST)
    model, label = _model(_folder(flags, "checkpoints_dir"), flags, found)
    phase, data = flags.get("phase", "test"), _data(flags, found, single)
    out = str(_folder(flags, "results_dir") / f"{phase}_{label}")
    jobs = {"AtoB": f"{data}/{phase}A", "BtoA": f"{data}/{phase}B"}
    if single:
        jobs = {"BtoA" if flags.get("model_suffix") == "_B" else "AtoB": data}
        if "direction" in flags:
            found.notes.append("--direction: --model test takes the generator of --model_suffix")
    elif _is_paired(flags) or _model_name(flags) in ("cut", "fastcut"):
        jobs = {direction: folder for direction, folder in jobs.items() if direction == flags.get("direction", "AtoB")}
    _device(flags, found)
    layout = ["--layout", "official-single" if single else "official"]
    scale = [] if flags.get("preprocess") == "none" else ["--scale", "train"]
    for direction, folder in jobs.items():
        found.commands.append(["translate", model, folder, out, "--direction", direction, *layout, *scale, *ours])
    return found


def _is_paired(flags: Flags) -> bool:
    return flags.get("dataset_mode", "aligned" if flags.get("model") == "pix2pix" else "unaligned") == "aligned"


def _method(flags: Flags) -> tuple[str, dict[str, str]]:
    """The preset of `--model`, and further settings that it needs."""
    model, settings = _model_name(flags), {"data.paired": "true"} if _is_paired(flags) else {}
    if model not in table.PRESETS:
        known = "cycle_gan, pix2pix, cut, fastcut and test are known"
        raise BadInput(f"--model {model} has no counterpart here: {table.NO_PRESET.get(model, known)}")
    for foreign, whose in table.OF_OTHERS[model]:
        _refuse_others(flags, foreign, whose)
    if model == "pix2pix" and not settings:
        raise BadInput("--model pix2pix learns from pairs; give --dataset_mode aligned, or --model cycle_gan")
    if model in ("cut", "fastcut") and flags.get("direction") == "BtoA":
        settings["method.direction"] = "BtoA"
    return table.PRESETS[model], settings


def _model_name(flags: Flags) -> str:
    """`--model`; cut if it is missing and flags of CUT's code are given."""
    model = flags.get("model", "cut" if table.CUT_ONLY & flags.keys() else table.DEFAULTS["model"])
    return "fastcut" if model == "cut" and flags.get("CUT_mode", "CUT").lower() == "fastcut" else model


def _data(flags: Flags, found: Equivalent, single: bool = False) -> str:
    """The folder to read; a command before makes it where the images are A and B side by side."""
    data = flags["dataroot"].rstrip("/")
    if single or not _is_paired(flags):
        return data
    split = f"{data}.pairs"
    if not Path(split).exists():
        found.commands.append(["prepare", "aligned", data, split])
    return split


def _model(run: Path, flags: Flags, found: Equivalent) -> tuple[str, str]:
    """The model to translate with, and its label in the results; a command before converts official weights to it."""
    epoch, step = flags.get("epoch", "latest"), int(_number(flags, "load_iter", 0))
    label = f"iter_{step}" if step else epoch
    if (run / "config.yaml").is_file():
        return str(run if label == "latest" else _checkpoint(run, epoch, step)), label
    if not (run / f"{label}_net_G.pth").is_file() and not any(run.glob(f"{label}_net_G_[AB].pth")):
        return str(run), label
    trained = "AtoB" if flags.get("model") == "test" else flags.get("direction", "AtoB")
    as_tested = {flag: flags[flag] for flag in ("load_size", "crop_size", "preprocess") if flag in flags}
    as_tested = {flag: value for flag, value in as_tested.items() if (flag, value) != ("preprocess", "none")}
    details = [*(["BtoA"] if trained == "BtoA" else []), *(f"{flag}={value}" for flag, value in as_tested.items())]
    name = "-".join((label, *details))
    target = run / "bundles" / f"{name}.safetensors"
    newest = max(path.stat().st_mtime for path in run.glob(f"{label}_net_G*.pth"))
    if not target.is_file() or target.stat().st_mtime < newest:
        more = ["--trained", trained] if trained == "BtoA" else []
        more += [word for flag, value in as_tested.items() for word in (f"--{flag.replace('_', '-')}", value)]
        found.commands.append(["convert", str(run), str(target), "--epoch", label, *more])
    return str(target), label


def _checkpoint(run: Path, epoch: str, step: int) -> Path:
    from unpaired.checkpoints.run_state import checkpoint_of

    if step:
        return checkpoint_of(run, f"--load_iter {step}", step=step)
    return checkpoint_of(run, f"--epoch {epoch}", epoch=int(epoch) if epoch.isdigit() else -1)


def _continued(out: Path) -> str:
    if (out / "config.yaml").is_file():
        return "--continue_train: the run resumes at its checkpoint; settings may differ, as for more epochs"
    if any(out.glob("*_net_G*.pth")):
        raise BadInput(
            f"--continue_train: {out} holds official weights; `unpaired convert {out} {out}_bundle`, then give --from "
            f"{out}_bundle and another --name in place of --continue_train"
        )
    raise BadInput(f"--continue_train: {out} holds no run; leave the flag out to start one, or correct --name")


def _device(flags: Flags, found: Equivalent) -> str:
    """The setting for `--gpu_ids`, empty for the default; adds to the environment and the notes."""
    ids = flags.get("gpu_ids")
    if ids is None:
        return ""
    numbers = [part.strip() for part in ids.split(",") if part.strip()]
    if not all(part.removeprefix("-").isdigit() for part in numbers) or not numbers:
        raise BadInput(f"--gpu_ids: expected numbers as 0 or 0,1, or -1 for the CPU, got {ids}")
    if numbers[0].startswith("-"):
        found.environment["CUDA_VISIBLE_DEVICES"] = ""
        found.notes.append("--gpu_ids -1: the CPU")
        return "cpu"
    if len(numbers) > 1:
        raise BadInput(
            f"--gpu_ids {ids}: several GPUs train as one process each; leave the flag out and start by "
            f"CUDA_VISIBLE_DEVICES={','.join(numbers)} torchrun --nproc-per-node {len(numbers)} -m unpaired train ..."
        )
    if numbers == ["0"]:
        found.notes.append("--gpu_ids 0: the first GPU, or the CPU where there is none (runtime.device auto)")
        return ""
    found.environment["CUDA_VISIBLE_DEVICES"] = numbers[0]
    found.notes.append(f"--gpu_ids {ids}: CUDA_VISIBLE_DEVICES={ids}")
    return "cuda"


def _by_network(flags: Flags) -> dict[str, str]:
    """Settings whose name depends on the direction or on the network."""
    sides = "ab" if flags.get("direction", "AtoB") == "AtoB" else "ba"
    channels = zip(("input_nc", "output_nc"), sides, strict=True)
    settings = {f"data.channels_{side}": flags[flag] for flag, side in channels if flag in flags}
    if "n_layers_D" in flags and flags.get("netD") == "n_layers":
        settings["method.discriminator.layers"] = flags["n_layers_D"]
    for flag, setting in table.BOTH_NETWORKS.items():
        if flag in flags:
            value = flags[flag].removeprefix("sync").removeprefix("_")
            settings |= {f"method.{network}.{setting}": value for network in ("generator", "discriminator")}
    return settings


def _weights(flags: Flags) -> dict[str, str]:
    """lambda_A weighs the cycle that starts in their A; lambda_identity is a share of it."""
    if "lambda_L1" in flags:
        return {"method.l1_weight": flags["lambda_L1"]}
    if not {"lambda_A", "lambda_B", "lambda_identity"} & flags.keys():
        return {}
    a, b, share = _number(flags, "lambda_A", 10), _number(flags, "lambda_B", 10), _number(flags, "lambda_identity", 0.5)
    if share and a != b:
        raise BadInput(
            f"--lambda_A {a:g} and --lambda_B {b:g} give the two identity terms different weights, which are one "
            f"here; make them equal, or set --lambda_identity 0"
        )
    forward, backward = (a, b) if flags.get("direction", "AtoB") == "AtoB" else (b, a)
    values = {"forward_cycle_weight": forward, "backward_cycle_weight": backward, "identity_weight": share * a}
    return {f"method.{name}": f"{value:g}" for name, value in values.items()}


def _name(flags: Flags) -> str:
    """The run's name with `--suffix`, whose {flag} stands for a flag's value."""
    name, suffix = flags.get("name", table.DEFAULTS["name"]), flags.get("suffix", "")
    if not suffix:
        return name
    try:
        return f"{name}_{suffix.format_map(table.DEFAULTS | flags)}"
    except (KeyError, ValueError, IndexError) as error:
        raise BadInput(f"--suffix {suffix}: expected names of flags in braces, as {{model}} ({error})") from error


def _folder(flags: Flags, flag: str) -> Path:
    return Path(flags.get(flag, table.DEFAULTS[flag])) / flags["name"]


def _number(flags: Flags, flag: str, default: float) -> float:
    try:
        return float(flags.get(flag, default))
    except ValueError:
        raise BadInput(f"--{flag}: expected a number, got {flags[flag]}") from None


def _accepted(flags: Flags, choices: Mapping[str, Collection[str]], unneeded: Mapping[str, str]) -> Equivalent:
    """The notes on flags without effect; values without a counterpart are refused, all named at once."""
    wrong = []
    for flag, value in flags.items():
        if flag in choices and value not in choices[flag]:
            known = " or ".join(choices[flag])
            wrong.append(f"--{flag} {value} (there is {known}: {table.REASONS.get(flag, 'choose one of them')})")
        elif flag in table.REFUSED and flag not in unneeded and value != table.REFUSED[flag][0]:
            wrong.append(f"--{flag} ({table.REFUSED[flag][1]})")
    if wrong:
        raise BadInput(f"without a counterpart here: {'; '.join(wrong)}")
    return Equivalent(notes=[f"--{flag} is not needed: {unneeded[flag]}" for flag in flags if flag in unneeded])


def _refuse_others(flags: Flags, foreign: set[str], whose: str) -> None:
    if given := [f"--{flag}" for flag in flags if flag in foreign and flag not in table.BASE]:
        raise BadInput(f"{', '.join(given)}: flags of {whose}, without effect here; leave them out")
