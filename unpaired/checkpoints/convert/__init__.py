"""`convert`: other tools' generators into a bundle, and a bundle into the official code's files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from unpaired.checkpoints.bundle import BUNDLE, Bundle, load_bundle, write_bundle
from unpaired.checkpoints.convert.names import Weights, by_direction, direction_of
from unpaired.checkpoints.convert.shapes import describe, rebuilt
from unpaired.config import DataConfig, Direction, Preprocess, opposite
from unpaired.config.networks import CoupledConfig, Padding, ResNetConfig
from unpaired.core.errors import BadInput, shown
from unpaired.core.safe_text import read_text
from unpaired.core.safetensors_file import check_finite, read_header, read_tensors
from unpaired.core.torch_pickle import read_pickle, write_pickle
from unpaired.experiment import Experiment
from unpaired.methods import CycleGANConfig
from unpaired.models import Generator, GeneratorConfig

__all__ = ["convert"]

OPTIONS = ("train_opt.txt", "opt.txt", "train_config.json")
"""Files beside weights in which training tools keep their options."""
SIZES = ("load_size", "crop_size", "preprocess")
"""Options of the official code that say how large images were in training."""
PADDINGS: tuple[Padding, ...] = ("reflect", "replicate", "zero")
NET: dict[Direction, str] = {"AtoB": "G_A", "BtoA": "G_B"}
"""The official names: G_A translates A to B, G_B translates B to A."""


def convert(
    source: Path,
    out: Path,
    *,
    direction: Direction | None = None,
    epoch: str = "latest",
    b: str | None = None,
    padding: Padding | None = None,
    trained: Direction = "AtoB",
    load_size: str | None = None,
    crop_size: str | None = None,
    preprocess: str | None = None,
) -> list[str]:
    """Convert other tools' weights to a bundle, or a bundle to theirs; returns lines that describe the result.

    Args:
        source: A `.pth` file, a folder of `EPOCH_net_G_A.pth` and `EPOCH_net_G_B.pth` (or `EPOCH_net_G.pth`), or, to
            go the other way, a bundle or a run.
        out: The bundle to write, or its folder; going the other way a `.pth` file, or the folder for
            `latest_net_G_A.pth` and `latest_net_G_B.pth`.
        direction: Of a file that holds one generator; of the generator to write into one `.pth`.
        epoch: Which files of a folder.
        b: Name of the domain of folder B in an mmagic file.
        padding: Of the residual blocks, as the weights were trained; see `padding_of`.
        trained: `--direction` of the official training: BtoA exchanges G_A and G_B, and a file that holds one
            generator is of that direction.
        load_size: Of the training; unless given that in `train_opt.txt` beside the weights.
        crop_size: The same.
        preprocess: The same.

    Raises:
        BadInput: nothing to convert, hostile or unknown weights, or an architecture that the other side lacks.
    """
    if (source / BUNDLE).is_file() or (source.suffix == ".safetensors" and not _is_foreign(source)):
        return _to_official(source, out, direction)
    data = _data_of(source if source.is_dir() else source.parent, load_size, crop_size, preprocess)
    return _to_bundle(source, out, direction, epoch, b, padding, trained, data)


def _to_bundle(
    source: Path,
    out: Path,
    direction: Direction | None,
    epoch: str,
    b: str | None,
    padding: Padding | None,
    trained: Direction,
    data: DataConfig,
) -> list[str]:
    if out.suffix == ".pth":
        raise BadInput(f"{out}: expected a bundle to write (a name ending in .safetensors, or a folder)")
    target = out if out.suffix == ".safetensors" else out / BUNDLE
    networks: dict[Direction, Generator] = {}
    found: dict[str, tuple[GeneratorConfig, tuple[int, int]]] = {}
    told = padding or padding_of(source if source.is_dir() else source.parent)
    lines = []
    for file, alone in _files(source, direction, epoch, trained).items():
        weights = _load(file)
        try:
            tool, parts = by_direction(weights, alone, b)
        except BadInput as error:
            raise BadInput(f"{file}: {error}") from error
        for each, weights in parts.items():
            name = f"{file} ({each})" if len(parts) > 1 else str(file)
            networks[each], cfg, channels = rebuilt(weights, name, told)
            there, here = channels if each == "AtoB" else reversed(channels)
            found[name] = (cfg, (there, here))
            lines.append(f"{name}: {tool} {describe(cfg)}: {each}")
    experiment = _experiment(found, data)
    generator = experiment.method.generator
    if told is None and isinstance(generator, ResNetConfig) and generator.padding == "reflect" and generator.blocks:
        lines.append(f"{source}: does not say how the blocks pad; reflect is assumed, --padding replicate overrules it")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(target, Bundle(experiment, networks, step=0, source=source.name))
    return [*lines, f"{target}: a bundle for translate, evaluate, export, and train --from"]


def _files(source: Path, direction: Direction | None, epoch: str, trained: Direction) -> dict[Path, Direction]:
    if not source.is_dir():
        return {source: direction or direction_of(source.stem) or trained}
    learnt: dict[str, Direction] = {net: each if trained == "AtoB" else opposite(each) for each, net in NET.items()}
    both: dict[Path, Direction] = {
        source / f"{epoch}_net_{net}.pth": each for net, each in learnt.items() if direction in (None, each)
    }
    there: dict[Path, Direction] = {path: each for path, each in both.items() if path.is_file()}
    alone = source / f"{epoch}_net_G.pth"
    if not there and alone.is_file():
        return {alone: direction or trained}
    if not there and not any(source.glob("*_net_G*.pth")):
        there = _named(source, direction)
    if not there:
        names = ", ".join(sorted(path.name for path in source.glob("*.pth"))[:8]) or "no .pth file"
        expected = " or ".join(path.name for path in [*both, alone])
        raise BadInput(f"{source}: expected {expected}, found {names}; --epoch chooses others")
    return there


def _named(folder: Path, direction: Direction | None) -> dict[Path, Direction]:
    """Files with a direction in their names, as netG_A2B.pth or G_AB_199.pth: of each direction the last by number."""
    chosen: dict[Direction, Path] = {}
    weights = (path for path in folder.iterdir() if path.suffix in (".pth", ".pt", ".safetensors"))
    for path in sorted(weights, key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)]):
        found = direction_of(path.stem)
        if found is not None and direction in (None, found):
            chosen[found] = path
    return {path: found for found, path in sorted(chosen.items())}


def _is_foreign(path: Path) -> bool:
    try:
        return path.is_file() and "unpaired" not in read_header(path).metadata
    except (ValueError, OSError):
        return False


def padding_of(folder: Path) -> Padding | None:
    """The padding in the options beside the weights: `train_opt.txt` or `train_config.json`; None without."""
    for name in OPTIONS:
        path = folder / name
        text = read_text(path) if path.is_file() else ""
        match = re.search(rf"\b(?:G_)?padding_type\W+({'|'.join(PADDINGS)})", text)
        if match:
            return next(each for each in PADDINGS if each == match[1])
    return None


def _data_of(folder: Path, load_size: str | None, crop_size: str | None, preprocess: str | None) -> DataConfig:
    """Sizes of the training: those given, those in the official options beside the weights, else the published."""
    path = folder / OPTIONS[0]
    text = read_text(path) if path.is_file() else ""
    found = {name: match[1] for name in SIZES if (match := re.search(rf"^\s*{name}: (\w+)", text, re.MULTILINE))}
    given = {"load_size": load_size, "crop_size": crop_size, "preprocess": preprocess}
    settings: dict[str, Any] = found | {name: value for name, value in given.items() if value is not None}
    if crop_size is not None and load_size is None:
        settings["load_size"] = crop_size  # as test.py, which crops nothing
    for name in ("load_size", "crop_size"):
        if str(settings.get(name, "")).isdigit():
            settings[name] = int(settings[name])
    known = get_args(Preprocess)
    if (way := settings.get("preprocess", known[0])) not in known:
        raise BadInput(f"{path if found else folder}: preprocess {way}: expected {', '.join(known)}; give --preprocess")
    try:
        return DataConfig(**settings)
    except ValueError as error:
        where = path if found else folder
        raise BadInput(f"{where}: {error}; give --load-size, --crop-size and --preprocess") from error


def _load(file: Path) -> Weights:
    if file.suffix != ".safetensors":
        return read_pickle(file)
    try:
        tensors = read_tensors(file)
        check_finite(tensors)
    except (ValueError, OSError) as error:
        raise BadInput(f"{file}: not readable weights ({shown(error)})") from error
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


def _experiment(found: Mapping[str, tuple[GeneratorConfig, tuple[int, int]]], data: DataConfig) -> Experiment:
    """One experiment for all the generators, which must be of one architecture."""
    (name, (cfg, channels)), *others = found.items()
    for other, (other_cfg, other_channels) in others:
        if other_cfg != cfg or other_channels != channels:
            (a, b), (other_a, other_b) = channels, other_channels
            raise BadInput(
                f"{name} is {describe(cfg)}, channels of A {a}, of B {b}, but {other} is {describe(other_cfg)}, "
                f"channels of A {other_a}, of B {other_b}; convert each by itself, with --direction"
            )
    data = replace(data, channels_a=channels[0], channels_b=channels[1])
    return Experiment(name="converted", data=data, method=CycleGANConfig(generator=cfg))


def _to_official(source: Path, out: Path, direction: Direction | None) -> list[str]:
    bundle = load_bundle(source)
    directions: list[Direction] = [bundle.choose(direction, source)] if direction else bundle.directions
    generator = bundle.experiment.method.generator
    if isinstance(generator, CoupledConfig):
        raise BadInput(f"{source}: coupled generators have no counterpart in the official code; `unpaired export` them")
    known = ("strided", "transposed", *(["blur"] if isinstance(generator, ResNetConfig) else []))
    for name, kind in (("downsampling", generator.downsampling), ("upsampling", generator.upsampling)):
        if kind not in known:
            raise BadInput(
                f"{source}: generator.{name} {kind} has no counterpart in the official code, which would not load "
                f"it; `unpaired export` writes formats that carry their own layers"
            )
    both = len(directions) > 1
    if out.suffix == ".pth" and both:
        raise BadInput(f"{out}: one file holds one direction; choose by --direction, or give a folder for both")
    loader = "CUT" if "blur" in (generator.upsampling, generator.downsampling) else "the official code"
    lines = []
    for each in directions:
        path = out if out.suffix == ".pth" else out / f"latest_net_{NET[each] if both else 'G'}.pth"
        write_pickle(path, bundle.translators[each].state_dict())
        lines.append(f"{path}: {describe(generator)}: {each}, for {loader}")
    return lines
