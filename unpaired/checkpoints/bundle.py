"""The bundle: the trained generators and their settings in one file, all that translating needs.

Tensors in safetensors, settings in its metadata; nothing is unpickled. A checksum covers both. The state to resume
from is in `run_state.py`; a kept checkpoint of it serves as a bundle, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError
from safetensors.torch import save
from torch import Tensor

from unpaired.checkpoints.run_state import STATE, is_checkpoint, read_state
from unpaired.checkpoints.shipped import offer, shipped_file
from unpaired.config import DIRECTIONS, Direction
from unpaired.core.errors import BadInput, brief, first_problem, shown
from unpaired.core.files import write_bytes, written_whole
from unpaired.core.safe_text import parse_json
from unpaired.core.safetensors_file import Header, check_finite, check_fit, read_header, read_tensors, tensors_under
from unpaired.experiment import Experiment, draft_method, from_dict, read_experiment, to_dict, with_settings
from unpaired.methods import Method
from unpaired.models import Generator

FORMAT = 1
"""Version of a bundle; newer ones are refused, older ones read."""
BUNDLE = "bundle.safetensors"
BEST = "best.safetensors"
"""The bundle of the step with the lowest KID on test images, if the run validates."""
FOREIGN_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt")
"""Suffixes of other tools' weights."""
StoredWeights = Literal["fp32", "fp16", "bf16"]
STORED: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Precisions of the weights in a file."""


@dataclass(frozen=True)
class Chosen:
    """The validation result for which a bundle was kept as the best of its run."""

    features: str
    """Name of the feature extractor."""
    kid: FiniteFloat
    """Mean over the directions."""
    images: tuple[NonNegativeInt, NonNegativeInt]
    """Numbers of test images of A and of B."""

    def __str__(self) -> str:
        a, b = self.images
        return f"the lowest {self.features} KID of its run so far, {self.kid:.5f} on {a} test images of A and {b} of B"


@dataclass(frozen=True)
class Bundle:
    """Trained generators, of one direction or both, and the experiment they came from."""

    experiment: Experiment
    translators: Mapping[Direction, Generator]
    step: int
    source: str = ""
    """The file of another tool that the weights were converted from; empty for weights trained here."""
    chosen: Chosen | None = None
    """Why it was kept, if it is the best of several."""

    @property
    def directions(self) -> list[Direction]:
        """The directions it has, AtoB first."""
        return [each for each in DIRECTIONS if each in self.translators]

    def choose(self, direction: Direction | None, name: object) -> Direction:
        """`direction`, or the first that the bundle has.

        Raises:
            BadInput: the bundle, called `name` in the message, does not have it.
        """
        if direction is not None and direction not in self.translators:
            raise BadInput(f"{name}: translates {', '.join(self.directions)}, not {direction}")
        return direction or self.directions[0]

    def channels(self, direction: Direction) -> tuple[int, int]:
        """Channels that a direction takes and gives."""
        a, b = self.experiment.data.channels_a, self.experiment.data.channels_b
        return (a, b) if direction == "AtoB" else (b, a)


@dataclass(frozen=True)
class _Facts:
    """The metadata of a file beside its format."""

    experiment: dict[str, Any]
    step: Annotated[int, Field(strict=True, ge=0)]
    weights: StoredWeights = "fp32"
    source: str = ""
    chosen: Chosen | None = None
    sha256: str = ""


_FACTS = TypeAdapter(_Facts)


def save_bundle(path: Path, experiment: Experiment, method: Method, step: int) -> None:
    """Write the trained generators of a method."""
    write_bundle(path, Bundle(experiment, method.translators, step))


def write_bundle(path: Path, bundle: Bundle, weights: StoredWeights = "fp32") -> None:
    """Write generators with their experiment in the file's metadata.

    `weights` is the precision in which the file stores them; fp16 and bf16 halve it. They are read back as fp32.
    """
    own = {key: value.detach().cpu().contiguous().clone() for key, value in _tensors_of(bundle.translators).items()}
    tensors = {key: _cast(value, STORED[weights]) for key, value in own.items()}
    facts = {"format": FORMAT, "step": bundle.step, "experiment": to_dict(bundle.experiment), "weights": weights}
    facts |= {"source": bundle.source, "chosen": bundle.chosen and asdict(bundle.chosen)}
    facts["sha256"] = _checksum(facts, tensors)
    content = save(tensors, {"unpaired": json.dumps(facts)})
    with written_whole(path) as part:
        write_bytes(part, content)


def bundle_file(model: Path) -> Path:
    """The file with the weights of a run's folder, a checkpoint's folder, a file, or a name in `unpaired models`.

    A file or folder of the same name comes first.

    Raises:
        BadInput: the model comes with the package, but its file is damaged.
    """
    if model.is_dir():
        return model / (STATE if is_checkpoint(model) else BUNDLE)
    return model if model.exists() else shipped_file(str(model)) or model


def load_bundle(path: Path) -> Bundle:
    """Rebuild the generators of a bundle, a run's folder or a checkpoint's folder, on the CPU in fp32.

    The header of the file is compared with its settings before memory is allocated.

    Raises:
        BadInput: not a bundle, damaged (also by a single bit), of a newer format, weights that do not fit their
            own settings or are not finite.
    """
    folder = path.parent if path.name == STATE else path
    if is_checkpoint(folder):
        return _of_checkpoint(folder)
    path = bundle_file(path)
    if not path.is_file():
        expected = f"a run's folder or a bundle ({BUNDLE}), or a checkpoint's folder"
        raise BadInput(f"{path}: no such file; expected {expected}; {offer(str(path))}")
    try:
        header = read_header(path)
        facts = parse_json(header.metadata.get("unpaired", "{}"))
        known = _read_facts(facts, path)
        experiment = from_dict(known.experiment, str(path))
        translators = _those_in(header, draft_method(experiment).translators)
        check_fit(header, {k: _cast(value, STORED[known.weights]) for k, value in _tensors_of(translators).items()})
        read = read_tensors(path)
        check_finite(read)
        if known.sha256 != (found := _checksum(facts, read)):
            written = f"its SHA-256 is {found[:12]}, {shown(known.sha256)[:12]} was written"
            raise BadInput(f"{path}: damaged: {written}; take another copy")
        tensors = {key: _cast(value, torch.float32) for key, value in read.items()}
    except BadInput:
        raise
    except (ValueError, OSError) as error:
        hint = "; `unpaired convert` makes one of another tool's weights" if path.suffix in FOREIGN_SUFFIXES else ""
        raise BadInput(f"{path}: not a readable bundle ({shown(error)}){hint}") from error
    for direction, network in translators.items():
        network.load_state_dict(tensors_under(tensors, f"{direction}."), assign=True)
        network.eval().requires_grad_(False)
    return Bundle(experiment, translators, known.step, known.source, known.chosen)


def _checksum(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a bundle holds: its facts, and the name, type, shape and bytes of every tensor."""
    summed = {key: value for key, value in facts.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(summed, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _of_checkpoint(folder: Path) -> Bundle:
    """The generators of a checkpoint: the averaged weights where it has them."""
    config = folder.parent.parent / "config.yaml"
    try:
        state = read_state(folder)
        settings = {key: value for key, value in state.facts["settings"].items() if key != "name"}
        before = read_experiment(config) if config.is_file() else Experiment(name="custom")
        experiment = with_settings(before, settings, str(folder))
        method = draft_method(experiment)
        for name, network in method.generators.items():
            averaged = tensors_under(state.tensors, f"network/ema {name}/")
            weights = averaged or tensors_under(state.tensors, f"network/{name}/")
            network.load_state_dict(weights, assign=True)
            check_finite(weights)
    except BadInput:
        raise
    except (ValueError, RuntimeError, LookupError, AttributeError, OSError) as error:
        raise BadInput(f"{folder}: not a readable checkpoint ({shown(error)}); choose another step") from error
    for network in method.translators.values():
        network.eval().requires_grad_(False)
    return Bundle(experiment, method.translators, state.step)


def _read_facts(facts: Any, path: Path) -> _Facts:
    if not isinstance(facts, dict) or not isinstance(facts.get("experiment"), dict):
        raise BadInput(f"{path}: a safetensors file, but not a bundle of unpaired (its metadata names no experiment)")
    version = facts.get("format", FORMAT)
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise BadInput(f"{path}: format {brief(version)}, this version reads up to {FORMAT}; upgrade unpaired")
    try:
        return _FACTS.validate_python(facts)
    except ValidationError as error:
        raise BadInput(f"{path}: {first_problem(error)}; train or convert again") from error


def _those_in(header: Header, known: Mapping[Direction, Generator]) -> dict[Direction, Generator]:
    """The generators that the file has weights for: of one direction, or of both."""
    there = {name.partition(".")[0] for name in header.tensors}
    if not there or there - set(known):
        raise ValueError(f"expected generators {' or '.join(known)}, found {brief(sorted(there)) if there else 'none'}")
    return {direction: network for direction, network in known.items() if direction in there}


def _tensors_of(translators: Mapping[Direction, Generator]) -> dict[str, Tensor]:
    """Every tensor by the name that it has in the file; layers that both directions share are there twice."""
    return {
        f"{direction}.{key}": value
        for direction, network in translators.items()
        for key, value in network.state_dict().items()
    }


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor in another precision; integers, such as counters of BatchNorm, keep theirs."""
    return value.to(dtype) if value.is_floating_point() else value
