"""The projection head of contrastive losses: from the features of one layer to vectors that are compared."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from unpaired.config.networks import InitName
from unpaired.models.init import initialise

WIDTH = 256
"""Units of either layer of the head (CUT App. C)."""


class ProjectionHead(nn.Module):
    """A linear layer, ReLU and a linear layer; weights by `initialise`, as those of the generator, biases 0.

    Source: Park et al., ECCV 2020 (arXiv:2007.15651) Sec. 3, after SimCLR.
    """

    def __init__(self, channels: int, init: InitName = "normal", gain: float = 0.02) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        initialise(self, init, gain)

    def forward(self, features: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """One vector per feature vector, not normalised."""
        return self.mlp(features)
