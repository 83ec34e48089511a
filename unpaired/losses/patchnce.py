"""PatchNCE: features at the same place of two images match, other places of the image are negatives.

Source: Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020
(arXiv:2007.15651), Eq. 2 and 3.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from unpaired.core.device import without_autocast
from unpaired.losses.adversarial import Scalar

Features = Float[Tensor, "b c h w"]
Vectors = Float[Tensor, "b n d"]
Places = Int[Tensor, " n"]
"""Positions row * width + column of a feature map, none twice."""


def draw_places(count: int, size: tuple[int, int], random: torch.Generator) -> Places:
    """`count` different places of an (h, w) map, or all of a smaller map, drawn from a generator on the CPU."""
    height, width = size
    return torch.randperm(height * width, generator=random)[:count]


def features_at(features: Features, places: Places) -> Vectors:
    """The feature vectors at the same places of every image of a batch."""
    width = features.shape[3]
    rows, columns = (places // width).to(features.device), (places % width).to(features.device)
    return features[:, :, rows, columns].transpose(1, 2)


def patch_nce(queries: Vectors, keys: Vectors, temperature: float) -> Scalar:
    """Mean cross entropy of picking, by cosine similarity, the key of a query's own place among those of its image.

    Queries are vectors of translations, keys those of the inputs at the same places, which get no gradient. log(n) if
    the n keys of an image are equal, near 0 where each query is closest to its own key. Computed in fp32.

    Source: Eq. 2 of arXiv:2007.15651; the keys are constants in the authors' code.
    """
    with without_autocast(queries.device):
        both = (each if each.dtype == torch.float64 else each.float() for each in (queries, keys.detach()))
        queries, keys = (normalize(each, dim=2) for each in both)
        similarities = queries @ keys.transpose(1, 2) / temperature
        own = torch.arange(queries.shape[1], device=queries.device).repeat(len(queries))
        return cross_entropy(similarities.flatten(0, 1), own)
