"""Whether files that are named alike show the same thing, by the agreement of their edges.

Numbered folders (0001.png, 0002.png, ...) match by name without being pairs. The edges of two images of one place
coincide, whatever the colours: the correlation of their gradient magnitudes is higher within pairs than across them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from unpaired.data.sources import ImageFile
from unpaired.imaging.images import read_image, to_tensor

SIDE = 48
"""Pixels a side at which images are compared: fine enough for coasts, coarse enough for small shifts."""
MOST = 64
"""Pairs that are read, spread evenly."""
FEWEST = 6
"""Pairs below which content cannot decide: a chance agreement is too likely."""
CONFIDENCE = 0.01
"""Probability of agreeing this well by chance above which names are not believed."""
PERMUTATIONS = 2000


def by_content(pairs: Sequence[tuple[ImageFile, ImageFile]]) -> tuple[bool, str]:
    """Whether pairs of files share structure, and why, in words.

    A permutation test: the mean correlation of edges within the pairs against that of the same images paired at random
    (Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, Ch. 3).
    """
    if len(pairs) < FEWEST:
        return False, f"names match one to one, but fewer than {FEWEST} images cannot show that they are pairs"
    step = max(1, len(pairs) // MOST)
    edges_a, edges_b = (torch.stack([_edges(pair[side]) for pair in pairs[::step]]) for side in (0, 1))
    chance = chance_of_agreement(edges_a @ edges_b.T)
    if chance <= CONFIDENCE:
        return True, "names match one to one, and the images of a pair share their edges"
    return False, "names match one to one, but the images of a pair share no more edges than others do"


def chance_of_agreement(correlation: Tensor) -> float:
    """How often random pairs correlate as well as the given ones, (n, n) with the given pairs on the diagonal."""
    n = len(correlation)
    generator = torch.Generator().manual_seed(0)
    orders = torch.stack([torch.randperm(n, generator=generator) for _ in range(PERMUTATIONS)])
    means = correlation[torch.arange(n), orders].mean(1)
    at_least = int((means >= correlation.diagonal().mean() - 1e-9).sum())
    return (1 + at_least) / (1 + PERMUTATIONS)


def _edges(path: ImageFile) -> Tensor:
    """The gradient magnitude of the gray image at `SIDE` pixels, (SIDE * SIDE,), of mean 0 and length 1."""
    gray = to_tensor(read_image(path).pixels).float().mean(0)[None, None]
    small = functional.interpolate(gray, (SIDE + 1, SIDE + 1), mode="area")[0, 0]
    across, down = small[:-1, 1:] - small[:-1, :-1], small[1:, :-1] - small[:-1, :-1]
    magnitude = (across.square() + down.square()).sqrt().flatten()
    centred = magnitude - magnitude.mean()
    return centred / centred.norm().clamp(min=1e-6)
