"""Past translations that the discriminators are shown (Shrivastava et al. 2017; CycleGAN Sec. 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.core.device import copy_to


class Exchange(NamedTuple):
    """The choice made for one image of a batch; slots are numbered from 0, and `History.size` stands for none."""

    source: int
    """The image of the batch that is shown, if no stored one is."""
    read: int
    """The slot whose image, as it was before the batch, is shown."""
    write: int
    """The slot that keeps this image."""


class History:
    """Fifty past translations; half of the time the discriminators are shown one of them, against oscillation.

    Until it is full every image is stored and returned. After that each image of a batch is, with even odds, either
    exchanged for a random stored one, or returned and not stored.

    Choices are drawn on the host, from a separate generator. Images are rows of one tensor on the device, read and
    written by indices: a step never waits for the device, and a recorded step makes the exchanges that `plan` drew.
    """

    def __init__(self, size: int) -> None:
        """A history of `size` images (0: none), its random choices seeded by torch's global generator."""
        self.size, self.count = size, 0
        self.random = torch.Generator().manual_seed(int(torch.randint(2**62, (), device="cpu")))
        self._rows: Tensor | None = None  # (size + 1, c, h, w); the last row takes what is not kept
        self._others: dict[int, Tensor] = {}  # images of another shape than the rows, by slot
        self._planned: list[list[Exchange]] = []
        self._calls = 0
        self._regular = False  # whether the images of the last call had the shape of the rows
        self._indices: dict[tuple[int, int], Tensor] = {}  # by number of the call in a step, and images in it

    @property
    def images(self) -> list[Float[Tensor, "c h w"]]:
        """The stored images, by slot."""
        return [self._image(slot) for slot in range(self.count)]

    def plan(self, sizes: Sequence[int], device: torch.device, keep: bool = True) -> None:
        """Draw the choices of a step's calls, with batches of these sizes, and copy them to the device.

        With `keep` False nothing is drawn: the batches are returned, and none of their images is stored.
        """
        self._calls = 0
        none = self.size
        draw = self._draw if keep else lambda size: [Exchange(k, none, none) for k in range(size)]
        self._planned = [draw(size) for size in sizes] if self.size else []
        for call, exchanges in enumerate(self._planned):
            key = call, len(exchanges)
            if key not in self._indices:
                self._indices[key] = torch.empty(3, len(exchanges), dtype=torch.long, device=device)
            copy_to(self._indices[key], _as_tensor(exchanges))

    def rewind(self) -> None:
        """Begin with the first planned call again."""
        self._calls = 0

    @property
    def plan_is_static(self) -> bool:
        """Whether a recorded step makes the planned exchanges: they use rows alone, as the last call did."""
        slots = {slot for exchanges in self._planned for each in exchanges for slot in (each.read, each.write)}
        return not self.size or (self._regular and slots.isdisjoint(self._others))

    def __call__(self, fakes: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The images to show in place of `fakes`, which must carry no gradient."""
        if not self.size:
            return fakes
        if self._calls < len(self._planned):
            exchanges, indices = self._planned[self._calls], self._indices[self._calls, len(fakes)]
            self._calls += 1
        else:
            exchanges = self._draw(len(fakes))
            indices = _as_tensor(exchanges).to(fakes.device)
        if self._rows is None:
            self._rows = fakes.new_zeros((self.size + 1, *fakes.shape[1:]))
        self._regular = fakes.shape[1:] == self._rows.shape[1:]
        rows_only = all(slot not in self._others for each in exchanges for slot in (each.read, each.write))
        if rows_only and self._regular:
            return self._exchange(fakes, self._rows, *indices)
        return self._exchange_one_by_one(fakes, self._rows, exchanges)

    def _exchange(self, fakes: Tensor, rows: Tensor, source: Tensor, read: Tensor, write: Tensor) -> Tensor:
        stored = (read < self.size)[:, None, None, None]
        shown = torch.where(stored, rows[read], fakes[source])
        rows.index_copy_(0, write, fakes.contiguous())
        return torch.empty_like(fakes).copy_(shown)

    def _exchange_one_by_one(self, fakes: Tensor, rows: Tensor, exchanges: Sequence[Exchange]) -> Tensor:
        """The same for images of several shapes."""
        shown = torch.stack(
            [self._image(each.read).clone() if each.read < self.size else fakes[each.source] for each in exchanges]
        )
        for image, each in zip(fakes, exchanges, strict=True):
            if each.write == self.size:
                continue
            self._others.pop(each.write, None)
            if image.shape == rows.shape[1:]:
                rows[each.write] = image
            else:
                self._others[each.write] = image.clone()
        return shown

    def _image(self, slot: int) -> Tensor:
        assert self._rows is not None
        return self._others[slot] if slot in self._others else self._rows[slot]

    def _draw(self, size: int) -> list[Exchange]:
        """The published rule for a batch, image by image."""
        none, newest, drawn = self.size, dict[int, int](), list[Exchange]()
        for k in range(size):
            source, read, slot = k, none, none
            if self.count < self.size:
                slot = self.count
                self.count += 1
            elif torch.rand((), generator=self.random) > 0.5:
                slot = int(torch.randint(self.size, (), generator=self.random))
                source, read = (newest[slot], none) if slot in newest else (k, slot)
            if slot != none:
                newest[slot] = k
            drawn.append(Exchange(source, read, slot))
        kept = set(newest.items())
        return [Exchange(e.source, e.read, e.write if (e.write, k) in kept else none) for k, e in enumerate(drawn)]

    def state(self) -> dict[str, Tensor]:
        """Everything needed to resume exactly: copies of the images, and the state of the random choices."""
        images = {f"image/{k:04d}": image.clone() for k, image in enumerate(self.images)}
        return {"random": self.random.get_state(), **images}

    def load(self, state: dict[str, Tensor], device: torch.device | None = None) -> None:
        """Resume from a `state()`, its images copied to the device; ValueError for too many or non-finite ones."""
        images = [state[name] for name in sorted(state) if name.startswith("image/")]
        if len(images) > self.size or any(image.dim() != 3 or not image.isfinite().all() for image in images):
            raise ValueError(f"a history of {self.size} finite images was expected, {len(images)} tensors found")
        self.random.set_state(state["random"])
        self.count, self._others, self._planned = len(images), {}, []
        if not images:
            self._rows = None
            return
        shape, _ = Counter(image.shape for image in images).most_common(1)[0]
        if self._rows is None or self._rows.shape[1:] != shape:
            self._rows = torch.zeros((self.size + 1, *shape), dtype=images[0].dtype, device=device)
        for slot, image in enumerate(images):
            if image.shape == shape:
                self._rows[slot] = image
            else:
                self._others[slot] = image.to(self._rows.device, copy=True)


def _as_tensor(exchanges: Sequence[Exchange]) -> Tensor:
    """Rows `source`, `read` and `write`, (3, images)."""
    return torch.tensor(exchanges).T.contiguous()
