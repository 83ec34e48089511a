"""Baselines that need no network, fitted on the training sets of a data set."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from unpaired.config import Pages
from unpaired.core.errors import BadInput
from unpaired.core.parallel import side_by_side
from unpaired.core.progress import Advance
from unpaired.data.folders import domain_files
from unpaired.data.heldout import held_out_batches
from unpaired.data.sources import ImageFile
from unpaired.evaluation.scores import Transform
from unpaired.imaging.images import Images
from unpaired.imaging.values import Domain
from unpaired.inference.translator import Translator
from unpaired.metrics import baselines


class Histograms:
    """Histograms of the training sets, each read once, and only where the folders are there."""

    def __init__(self, data: Path, pages: Pages) -> None:
        self.files: dict[str, list[ImageFile]] = {}
        self.known: dict[tuple[str, int], torch.Tensor] = {}
        with suppress(BadInput):
            self.files = {side: list(domain_files(data, f"train{side}", pages=pages)) for side in ("A", "B")}
        self.missing = not self.files
        self.count = sum(map(len, self.files.values()))
        """Files to read."""

    def of(self, side: str, domain: Domain, advance: Advance) -> torch.Tensor:
        """The histogram of trainA or trainB, in the channels of `domain`."""
        channels = domain.channels
        if (side, channels) not in self.known:
            first = not any(known_side == side for known_side, _ in self.known)
            total = torch.zeros(channels, baselines.LEVELS, dtype=torch.long)
            batches = held_out_batches(self.files[side], domain, None, domain)
            for found, seen in side_by_side(lambda b: (baselines.histogram(b.inputs), len(b.indices)), batches):
                total += found
                advance(seen if first else 0)
            self.known[side, channels] = total
        return self.known[side, channels]


def fitted(translator: Translator, histograms: Histograms, advance: Advance) -> dict[str, Transform]:
    """Baselines as functions of the input; without the ones that these channels do not allow."""
    channels, (source, target) = translator.channels_out, (translator.direction[0], translator.direction[-1])
    convertible = baselines.match_channels(torch.zeros(1, translator.channels_in, 1, 1), channels) is not None

    def as_target(images: Images) -> Images:
        converted = baselines.match_channels(images, channels)
        assert converted is not None  # only called where it was found to be convertible
        return converted

    transforms: dict[str, Transform] = {"copy": as_target} if convertible else {}
    if histograms.missing:
        return transforms
    of_target = histograms.of(target, translator.domain_out, advance)
    colour = baselines.mean_colour(of_target).view(1, -1, 1, 1)
    transforms["mean_colour"] = lambda images: colour.expand(len(images), -1, *images.shape[2:])
    if convertible:
        as_seen = replace(translator.domain_in, channels=channels)
        matching = baselines.matching_table(histograms.of(source, as_seen, advance), of_target)
        transforms["histogram_matching"] = lambda images: baselines.apply_table(as_target(images), matching)
    return transforms
