"""The score maps of a discriminator with several outputs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class Outputs(tuple[Tensor, ...]):
    """One map of scores (b, 1, p, q) per output; converted and split along the batch like a single tensor."""

    def float(self) -> Outputs:
        """Every map in fp32."""
        return Outputs(scores.float() for scores in self)

    def split(self, sizes: Sequence[int]) -> list[Outputs]:
        """The maps of consecutive parts of the batch."""
        return [Outputs(parts) for parts in zip(*(scores.split(list(sizes)) for scores in self), strict=True)]
