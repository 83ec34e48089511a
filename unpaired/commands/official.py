"""The official code's command lines in this package's words: a pure mapping, no file is touched.

`unpaired train --dataroot ... --name ... --model cycle_gan ...` and `unpaired test ...` are taken as train.py's and
test.py's. docs/switching.md shows the same tables to people.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from unpaired.core.errors import BadInput

Flags = dict[str, str]
"""Flags that were given, without dashes, and their values; a switch has an empty one."""

OLD_NAMES = {
    "niter": "n_epochs",
    "niter_decay": "n_epochs_decay",
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "batchSize": "batch_size",
    "nThreads": "num_threads",
    "resize_or_crop": "preprocess",
    "which_direction": "direction",
    "which_epoch": "epoch",
    "which_model_netG": "netG",
    "which_model_netD": "netD",
    "identity": "lambda_identity",
}
"""Flags of 2017 and 2018 by their later names."""

SAME = {
    "lr": "optim.lr",
    "beta1": "optim.beta1",
    "n_epochs": "optim.epochs",
    "n_epochs_decay": "optim.decay_epochs",
    "batch_size": "data.batch",
    "load_size": "data.load_size",
    "crop_size": "data.crop_size",
    "preprocess": "data.preprocess",
    "num_threads": "data.workers",
    "pool_size": "method.history",
    "ngf": "method.generator.width",
    "ndf": "method.discriminator.width",
}
"""The value is ours as it stands."""

EVERY = {
    "print_freq": "runtime.log_every",
    "display_freq": "runtime.sample_every",
    "save_latest_freq": "runtime.save_every",
}
"""Theirs counts images, ours steps: divided by the batch."""

CHOICES: dict[str, dict[str, dict[str, str]]] = {
    "netG": {
        "resnet_9blocks": {"method.generator.blocks": "9"},
        "resnet_6blocks": {"method.generator.blocks": "6"},
        "unet_256": {"method.generator.name": "unet", "method.generator.downs": "8"},
        "unet_128": {"method.generator.name": "unet", "method.generator.downs": "7"},
    },
    "netD": {"basic": {}, "n_layers": {}, "pixel": {"method.discriminator.name": "pixelgan"}},
    "norm": {
        norm: {"method.generator.norm": norm, "method.discriminator.norm": norm}
        for norm in ("instance", "batch", "none")
    },
    "gan_mode": {
        "lsgan": {"method.adversarial": "least-squares"},
        "vanilla": {"method.adversarial": "log-likelihood"},
    },
    "lr_policy": {"linear": {}, "lambda": {}},
    "init_type": {"normal": {}},
    "init_gain": {"0.02": {}},
    "phase": {"train": {}},
    "dataset_mode": {"unaligned": {}},
    "epoch": {"latest": {}},
    "load_iter": {"0": {}},
    "model": {"cycle_gan": {}},
}
"""Values with a counterpart; others are refused with the advice in ADVICE."""

ADVICE = {
    "gan_mode": "the official CycleGAN has wgangp without its penalty; lsgan is the paper's",
    "lr_policy": "the rate is constant, then falls linearly, as published; --optim.decay-epochs 0 keeps it constant",
    "init_type": "networks start from N(0, 0.02), as published",
    "init_gain": "networks start from N(0, 0.02), as published",
    "phase": "training reads trainA and trainB; rename the folders",
    "dataset_mode": "unpaired folders are read here; for aligned pairs see docs/data.md",
    "epoch": "a run goes on from its last checkpoint; another start is --from BUNDLE",
    "load_iter": "a run goes on from its last checkpoint; another start is --from BUNDLE",
    "model": "only cycle_gan is taken by its official flags; `unpaired train --help` tells the rest",
}
REFUSED = {
    "max_dataset_size": ("inf", "make a folder or a list of the images to use (docs/data.md)"),
    "serial_batches": (None, "A is shuffled and B drawn at random, as published"),
    "lr_decay_iters": ("50", "belongs to lr_policy step, which there is not"),
    "suffix": ("", "write it into --name"),
    "aspect_ratio": ("1.0", "results keep each image's own shape"),
}
"""Flags without a counterpart, with the value at which they mean nothing, and what to do."""

NOT_NEEDED = {
    "continue_train": "the same command resumes by itself, exactly",
    "epoch_count": "the step is in the checkpoint",
    "save_epoch_freq": "checkpoints are kept by runtime.keep",
    "save_by_iter": "checkpoints are named by step",
    "no_dropout": "off in CycleGAN already; on by --method.generator.dropout",
    "display_id": "no display server: the report is a file",
    "display_server": "no display server: the report is a file",
    "display_env": "no display server: the report is a file",
    "display_port": "no display server: the report is a file",
    "display_ncols": "no display server: the report is a file",
    "display_winsize": "the report shows images at their size",
    "update_html_freq": "report.html is written at the end; metrics.jsonl and samples/ as it goes",
    "no_html": "report.html is one file",
    "verbose": "`unpaired info RUN` describes the networks",
}
"""Accepted, and said to be needless, with the reason."""

AT_TEST = {
    "num_test": "all images are translated",
    "eval": "networks are always at rest",
    "batch_size": "images keep their own size",
    "load_size": "images keep their own size",
    "crop_size": "images keep their own size",
    "preprocess": "images keep their own size",
    "no_flip": "images are not mirrored",
    "serial_batches": "images keep their order",
    "num_threads": "read as it goes",
    **dict.fromkeys(("netG", "netD", "ngf", "ndf", "n_layers_D", "norm", "init_type", "init_gain"), "in the bundle"),
    **dict.fromkeys(("input_nc", "output_nc", "no_dropout"), "in the bundle"),
    "dataset_mode": "told by --model",
    "gpu_ids": "translating takes the device there is",
    "display_winsize": "the page shows images at their size",
    "verbose": "`unpaired info RUN` describes the networks",
}

OF_THEIR_OWN = (
    *("dataroot", "name", "checkpoints_dir", "input_nc", "output_nc", "n_layers_D", "direction", "no_flip"),
    *("gpu_ids", "lambda_A", "lambda_B", "lambda_identity", "use_wandb", "wandb_project_name"),
)
"""Flags that `train_command` handles one by one."""
TEST_ONLY = ("results_dir", "model_suffix")
SWITCHES = {"no_flip", "no_dropout", "serial_batches", "verbose", "continue_train", "save_by_iter", "no_html"} | {
    "use_wandb",
    "eval",
}


def is_official(argv: list[str]) -> bool:
    """Whether a command line is meant for train.py or test.py."""
    flags = {argument.partition("=")[0] for argument in argv[1:]}
    return argv[:1] in (["train"], ["test"]) and "--dataroot" in flags


def equivalents(argv: list[str]) -> tuple[list[list[str]], list[str]]:
    """Our command lines for an official one, and a note for each flag that is not needed.

    Raises:
        BadInput: flags or values without a counterpart, all named at once with what to do.
    """
    flags, ours = parsed(argv[1:])
    if argv[0] == "train":
        command, notes = train_command(flags)
        return [[*command, *ours]], notes
    commands, notes = test_commands(flags)
    return [[*command, *ours] for command in commands], notes


def parsed(arguments: list[str]) -> tuple[Flags, list[str]]:
    """Official flags by their latest names; flags with a dot are ours and go through.

    Raises:
        BadInput: flags that neither has, or a value missing.
    """
    flags, ours, unknown = Flags(), list[str](), list[str]()
    for word, value in _with_values(arguments):
        name = OLD_NAMES.get(word.removeprefix("--"), word.removeprefix("--"))
        if word.startswith("--") and "." in name:
            ours += [word] if value is None else [word, value]
        elif word.startswith("--") and name in KNOWN:
            flags[name] = value or ""
        else:
            close = difflib.get_close_matches(name, KNOWN, 1)
            unknown.append(f"{word}{f' (did you mean --{close[0]}?)' if close else ''}")
    if unknown:
        raise BadInput(f"not flags of the official code: {', '.join(unknown)}; docs/switching.md lists them all")
    empty = [f"--{name}" for name, value in flags.items() if not value and name not in SWITCHES | {"suffix"}]
    if empty:
        raise BadInput(f"{', '.join(empty)}: a value is missing")
    return flags, ours


def train_command(flags: Flags) -> tuple[list[str], list[str]]:
    """`unpaired train cyclegan ...` for train.py's flags.

    Raises:
        BadInput: values without a counterpart.
    """
    _refuse(flags, CHOICES, NOT_NEEDED)
    settings = {setting: flags[flag] for flag, setting in SAME.items() if flag in flags}
    for flag, of_value in CHOICES.items():
        settings |= of_value[flags[flag]] if flag in flags else {}
    batch = max(1.0, _number(flags, "batch_size", 1))
    settings |= {EVERY[flag]: f"{max(1, _number(flags, flag, 1) // batch):.0f}" for flag in EVERY if flag in flags}
    settings |= _one_by_one(flags) | _weights(flags)
    out = f"{flags.get('checkpoints_dir', './checkpoints')}/{flags.get('name', 'experiment_name')}"
    command = ["train", "cyclegan", "--data", flags["dataroot"], "--out", out.removeprefix("./")]
    command += [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", value)]
    notes = _notes(flags, NOT_NEEDED)
    if flags.get("direction") == "BtoA":
        notes.append("--direction: CycleGAN learns both; A stays folder A, and `translate --direction` chooses")
    return command, notes


def test_commands(flags: Flags) -> tuple[list[list[str]], list[str]]:
    """One `unpaired translate ... --layout official` for each direction that test.py would run.

    Raises:
        BadInput: values without a counterpart.
    """
    choices = {"epoch": {"latest": {}}, "load_iter": {"0": {}}, "model": {"cycle_gan": {}, "test": {}}}
    _refuse(flags, choices, AT_TEST)
    name, phase = flags.get("name", "experiment_name"), flags.get("phase", "test")
    model = f"{flags.get('checkpoints_dir', './checkpoints')}/{name}".removeprefix("./")
    out = f"{flags.get('results_dir', './results/').rstrip('/')}/{name}/{phase}_latest".removeprefix("./")
    both = {"AtoB": f"{flags['dataroot']}/{phase}A", "BtoA": f"{flags['dataroot']}/{phase}B"}
    if flags.get("model") == "test":
        suffix = {"": "AtoB", "_A": "AtoB", "_B": "BtoA"}.get(flags.get("model_suffix", ""), "AtoB")
        both = {flags.get("direction", suffix): flags["dataroot"]}
    commands = [
        ["translate", model, folder, out, "--direction", direction, "--layout", "official"]
        for direction, folder in both.items()
    ]
    return commands, _notes(flags, AT_TEST)


def _one_by_one(flags: Flags) -> dict[str, str]:
    settings = {"data.flip": "false"} if "no_flip" in flags else {}
    sides = "ab" if flags.get("direction", "AtoB") == "AtoB" else "ba"
    for flag, side in zip(("input_nc", "output_nc"), sides, strict=True):
        settings |= {f"data.channels_{side}": flags[flag]} if flag in flags else {}
    if "n_layers_D" in flags and flags.get("netD") == "n_layers":
        settings["method.discriminator.layers"] = flags["n_layers_D"]
    if flags.get("gpu_ids") == "-1":
        settings["runtime.device"] = "cpu"
    if "use_wandb" in flags:
        settings["runtime.trackers"] = "wandb"
    if "wandb_project_name" in flags:
        settings["runtime.project"] = flags["wandb_project_name"]
    return settings


def _weights(flags: Flags) -> dict[str, str]:
    """lambda_A weighs the cycle that starts in their A; lambda_identity is a share of it."""
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


def _number(flags: Flags, flag: str, default: float) -> float:
    try:
        return float(flags.get(flag, default))
    except ValueError:
        raise BadInput(f"--{flag}: expected a number, got {flags[flag]}") from None


def _refuse(flags: Flags, choices: Mapping[str, Mapping[str, object]], unneeded: Mapping[str, str]) -> None:
    """Name every value without a counterpart at once."""
    wrong = []
    for flag, value in flags.items():
        if flag in choices and value not in choices[flag]:
            known = " or ".join(choices[flag])
            wrong.append(f"--{flag} {value} (there is {known}: {ADVICE.get(flag, 'choose one of them')})")
        elif flag in REFUSED and flag not in unneeded and value != REFUSED[flag][0]:
            wrong.append(f"--{flag} ({REFUSED[flag][1]})")
    if wrong:
        raise BadInput(f"without a counterpart here: {'; '.join(wrong)}")


def _notes(flags: Flags, unneeded: Mapping[str, str]) -> list[str]:
    return [f"--{flag} is not needed: {unneeded[flag]}" for flag in flags if flag in unneeded]


def _with_values(arguments: list[str]) -> list[tuple[str, str | None]]:
    """Each flag with the word after it, unless that is a flag too or this one a switch."""
    pairs: list[tuple[str, str | None]] = []
    for word in arguments:
        flag, before = pairs[-1] if pairs else ("", "")
        if not word.startswith("--") and flag.startswith("--") and before is None and flag[2:] not in SWITCHES:
            pairs[-1] = (flag, word)
        else:
            name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
            pairs.append((name, value if equals else None))
    return pairs


KNOWN = {*SAME, *EVERY, *CHOICES, *REFUSED, *NOT_NEEDED, *AT_TEST, *OF_THEIR_OWN, *TEST_ONLY}
"""Every flag of train.py and test.py."""
