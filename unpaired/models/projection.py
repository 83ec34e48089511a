"""The projection head of contrastive losses: from the features of one layer to vectors that are compared."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

WIDTH = 256
"""Units of either layer of the head (CUT App. C)."""


class ProjectionHead(nn.Module):
    """A linear layer, ReLU and a linear layer; weights from N(0, 0.02), biases 0.

    Source: Park et al., ECCV 2020 (arXiv:2007.15651) Sec. 3, after SimCLR.
    """

    def __init__(self, channels: int, width: int = WIDTH) -> None:
        """Fresh weights for features of `channels` channels."""
        super().__init__()
        layers = nn.Linear(channels, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(layers[0], nn.ReLU(), layers[1])
        for layer in layers:
            if not layer.weight.is_meta:  # as in `initialise`
                nn.init.normal_(layer.weight, 0.0, 0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """One vector per feature vector, not normalised."""
        return self.mlp(features)
