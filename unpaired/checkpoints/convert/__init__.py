"""`convert`: other tools' generators into a bundle, and a bundle into the official code's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from unpaired.checkpoints.bundle import BUNDLE, Bundle, load_bundle, write_bundle
from unpaired.checkpoints.convert.names import Weights, by_direction
from unpaired.checkpoints.convert.shapes import describe, rebuilt
from unpaired.config import DataConfig, Direction
from unpaired.config.networks import CoupledConfig
from unpaired.core.errors import BadInput
from unpaired.core.torch_pickle import load_foreign, save_foreign
from unpaired.experiment import Experiment
from unpaired.methods import CycleGANConfig
from unpaired.models import Generator, GeneratorConfig

__all__ = ["convert"]

NET: dict[Direction, str] = {"AtoB": "G_A", "BtoA": "G_B"}
"""The official names: G_A translates A to B, G_B translates B to A."""


def convert(
    source: Path, out: Path, *, direction: Direction | None = None, epoch: str = "latest", b: str | None = None
) -> list[str]:
    """Convert in the direction that the source asks for; returns what was done, in lines.

    Args:
        source: A `.pth` file, a folder of `EPOCH_net_G_A.pth` and `EPOCH_net_G_B.pth` (or `EPOCH_net_G.pth`), or, to
            go the other way, a bundle or a run.
        out: The bundle to write, or its folder; going the other way a `.pth` file, or the folder for
            `latest_net_G_A.pth` and `latest_net_G_B.pth`.
        direction: Of a file that holds one generator; of the generator to write into one `.pth`.
        epoch: Which files of a folder.
        b: What an mmagic file calls the domain of folder B.

    Raises:
        BadInput: nothing to convert, hostile or unknown weights, or an architecture that the other side lacks.
    """
    if (source / BUNDLE).is_file() or source.suffix == ".safetensors":
        return _to_official(source, out, direction)
    return _to_bundle(source, out, direction, epoch, b)


def _to_bundle(source: Path, out: Path, direction: Direction | None, epoch: str, b: str | None) -> list[str]:
    if out.suffix == ".pth":
        raise BadInput(f"{out}: expected a bundle to write (a name ending in .safetensors, or a folder)")
    target = out if out.suffix == ".safetensors" else out / BUNDLE
    networks: dict[Direction, Generator] = {}
    found: dict[str, tuple[GeneratorConfig, tuple[int, int]]] = {}
    lines = []
    for file, alone in _files(source, direction, epoch).items():
        tool, parts = _recognised(file, alone, b)
        for each, weights in parts.items():
            name = f"{file} ({each})" if len(parts) > 1 else str(file)
            networks[each], cfg, channels = rebuilt(weights, name)
            there, here = channels if each == "AtoB" else reversed(channels)
            found[name] = (cfg, (there, here))
            lines.append(f"{name}: {tool} {describe(cfg)}: {each}")
    experiment = _experiment(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(target, Bundle(experiment, networks, step=0, source=source.name))
    return [*lines, f"{target}: a bundle for translate, evaluate, export, and train --from"]


def _files(source: Path, direction: Direction | None, epoch: str) -> dict[Path, Direction]:
    """The files to read, with the direction of each."""
    if not source.is_dir():
        said: Direction = "BtoA" if source.stem.endswith("_G_B") else "AtoB"
        return {source: direction or said}
    both: dict[Path, Direction] = {
        source / f"{epoch}_net_{net}.pth": each for each, net in NET.items() if direction in (None, each)
    }
    there: dict[Path, Direction] = {path: each for path, each in both.items() if path.is_file()}
    alone = source / f"{epoch}_net_G.pth"
    if not there and alone.is_file():
        return {alone: direction or "AtoB"}
    if not there:
        names = ", ".join(sorted(path.name for path in source.glob("*.pth"))[:8]) or "no .pth file"
        expected = " or ".join(path.name for path in [*both, alone])
        raise BadInput(f"{source}: expected {expected}, found {names}; --epoch chooses others")
    return there


def _recognised(file: Path, alone: Direction, b: str | None) -> tuple[str, dict[Direction, Weights]]:
    weights = load_foreign(file)
    try:
        return by_direction(weights, alone, b)
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error


def _experiment(found: Mapping[str, tuple[GeneratorConfig, tuple[int, int]]]) -> Experiment:
    """One experiment for all the generators, which must be of one architecture."""
    (name, (cfg, channels)), *others = found.items()
    for other, (other_cfg, other_channels) in others:
        if other_cfg != cfg or other_channels != channels:
            (a, b), (other_a, other_b) = channels, other_channels
            raise BadInput(
                f"{name} is {describe(cfg)}, channels of A {a}, of B {b}, but {other} is {describe(other_cfg)}, "
                f"channels of A {other_a}, of B {other_b}; convert each by itself, with --direction"
            )
    data = DataConfig(channels_a=channels[0], channels_b=channels[1])
    return Experiment(name="converted", data=data, method=CycleGANConfig(generator=cfg))


def _to_official(source: Path, out: Path, direction: Direction | None) -> list[str]:
    bundle = load_bundle(source)
    if direction is not None:
        if direction not in bundle.translators:
            raise BadInput(f"{source}: translates {', '.join(bundle.translators)}, not {direction}")
        bundle = replace(bundle, translators={direction: bundle.translators[direction]})
    generator = bundle.experiment.method.generator
    if isinstance(generator, CoupledConfig):
        raise BadInput(f"{source}: coupled generators have no counterpart in the official code; `unpaired export` them")
    if generator.upsampling == "resize":
        raise BadInput(
            f"{source}: generator.upsampling resize has no counterpart in the official code, which would not load "
            f"it; `unpaired export` writes formats that carry their own layers"
        )
    targets = _official_files(bundle, out)
    for path, each in targets.items():
        save_foreign(path, bundle.translators[each].state_dict())
    return [f"{path}: {describe(generator)}: {each}, for {_loader(generator)}" for path, each in targets.items()]


def _official_files(bundle: Bundle, out: Path) -> dict[Path, Direction]:
    directions = list(bundle.translators)
    if out.suffix == ".pth":
        if len(directions) > 1:
            raise BadInput(f"{out}: one file holds one direction; choose by --direction, or give a folder for both")
        return {out: directions[0]}
    return {out / f"latest_net_{NET[each] if len(directions) > 1 else 'G'}.pth": each for each in directions}


def _loader(generator: GeneratorConfig) -> str:
    blur = "blur" in (generator.upsampling, getattr(generator, "downsampling", ""))
    return "CUT" if blur else "the official code"
