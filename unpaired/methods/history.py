"""The discriminators' memory of past translations (Shrivastava et al. 2017; CycleGAN Sec. 4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class History:
    """Fifty past translations that discriminators are shown half of the time, against oscillation.

    Until it is full every image is stored and returned. After that each image of a batch, on its own,
    is with even odds either exchanged for a random stored one, or returned and not stored.
    """

    def __init__(self, size: int) -> None:
        """A history of `size` images (0: none), its random choices seeded by torch's global generator."""
        self.size = size
        self.images: list[Float[Tensor, "c h w"]] = []
        self.random = torch.Generator().manual_seed(int(torch.randint(2**62, (), device="cpu")))

    def __call__(self, fakes: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What the discriminator is to judge in place of `fakes`, which must carry no gradient."""
        return torch.stack([self._exchange(image) for image in fakes]) if self.size else fakes

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if torch.rand((), generator=self.random) <= 0.5:
            return image
        slot = int(torch.randint(self.size, (), generator=self.random))
        past, self.images[slot] = self.images[slot], image.clone()
        return past

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly: the images and the state of the random choices."""
        images = {f"image/{k:04d}": image for k, image in enumerate(self.images)}
        return {"random": self.random.get_state(), **images}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up a `state()`.

        Raises:
            ValueError: more images than there is room for, or what is no image.
        """
        self.random.set_state(state["random"])
        self.images = [state[name] for name in sorted(state) if name.startswith("image/")]
        if len(self.images) > self.size or any(image.dim() != 3 or not image.isfinite().all() for image in self.images):
            raise ValueError(f"a history of {self.size} finite images was expected, {len(self.images)} tensors found")
