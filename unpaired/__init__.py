"""Unpaired image-to-image translation: CycleGAN (arXiv:1703.10593), exact to the paper.

    import unpaired
    run = unpaired.train(unpaired.presets.earth(), data="earth64", out="runs/earth")
    to_map = unpaired.Translator.load(run, direction="AtoB")
    to_map(image)

Importing this imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unpaired.core.version import __version__

if TYPE_CHECKING:
    from unpaired import presets
    from unpaired.experiment import Experiment
    from unpaired.inference import Translator

__all__ = ["Experiment", "Translator", "__version__", "presets", "train"]


def train(experiment: Experiment, *, data: Path | str, out: Path | str, allow_config_change: bool = False) -> Path:
    """Train an experiment, or resume its run; returns the run's folder.

    Args:
        experiment: All settings, for example `unpaired.presets.quick()`.
        data: Folder with trainA and trainB, and testA and testB for samples and evaluation.
        out: Folder of the run. A run that it holds already is resumed from its last checkpoint.
        allow_config_change: Resume even where settings have changed that affect the numbers.

    Raises:
        BadInput: unusable data or settings; the message names the file or setting and what to do.
    """
    from unpaired.core.errors import BadInput, brief
    from unpaired.experiment import Experiment, with_root
    from unpaired.training import train

    if not isinstance(experiment, Experiment):
        raise BadInput(f"train: expected an experiment, as unpaired.presets.quick() gives, found {brief(experiment)}")
    return train(with_root(experiment, data), Path(out), allow_config_change=allow_config_change)


def __getattr__(name: str) -> object:
    if name == "presets":
        import importlib

        return importlib.import_module("unpaired.presets")
    if name == "Translator":
        from unpaired.inference import Translator

        return Translator
    if name == "Experiment":
        from unpaired.experiment import Experiment

        return Experiment
    raise AttributeError(f"module 'unpaired' has no attribute {name!r}")
