"""Check that the networks accept the sizes of the images: before the first step, and for every new size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from unpaired.config import DataConfig
from unpaired.core.device import is_out_of_memory
from unpaired.core.errors import BadInput
from unpaired.data.sources import ImageFile
from unpaired.data.transforms import crops
from unpaired.imaging.images import Images
from unpaired.methods import Batch, Method, compute_losses
from unpaired.training.device_faults import out_of_memory
from unpaired.training.trainer import Trainer

Size = tuple[int, int]
"""Width and height in pixels."""
Found = Mapping[Size, ImageFile]
"""An image of each size."""


class SizeChecks:
    """The sizes that the networks are known to accept."""

    def __init__(self, trainer: Trainer, data: DataConfig, accumulate: int = 1) -> None:
        self.trainer, self.data = trainer, data
        self.batched = data.batch * accumulate > 1
        self.accepted: set[tuple[Size, Size]] = set()
        self.first: dict[str, tuple[Size, ImageFile]] = {}
        """The size of the first batch of each domain."""

    def check_samples(self, a: Found, b: Found) -> None:
        """Check images of A and B that are only translated, by their sizes after `data.preprocess`; else BadInput."""
        for found in (a, b):
            for size, file in found.items():
                check_sides(self.trainer.method, size, file)
        for side in (0, 1):  # larger images pass wherever the narrowest and the lowest do
            x, y = (min(found, key=lambda size: size[side]) for found in (a, b))
            self._pass(x, y, a[x], b[y])

    def check_training(self, a: Found, b: Found) -> None:
        """Check uncropped training images before the first step as `check_samples`, and for one size in a batch."""
        if crops(self.data) or not (a and b):
            return
        for found in (a, b):
            if self.batched and len(found) > 1:
                raise _mixed(dict(sorted(found.items())))
        self.check_samples(a, b)

    def check(self, x: Images, y: Images, file_x: ImageFile, file_y: ImageFile) -> None:
        """Check one batch; a pair of sizes that was accepted before is not checked again."""
        sizes = (x.shape[3], x.shape[2]), (y.shape[3], y.shape[2])
        if sizes in self.accepted:
            return
        for side, size, file in zip("AB", sizes, (file_x, file_y), strict=True):
            check_sides(self.trainer.method, size, file)
            first = self.first.setdefault(side, (size, file))
            if self.batched and size != first[0]:
                raise _mixed({first[0]: first[1], size: file})
        self._pass(*sizes, file_x, file_y)

    def _pass(self, x: Size, y: Size, file_x: ImageFile, file_y: ImageFile) -> None:
        """One pass without gradient through all networks."""
        method, engine, data = self.trainer.method, self.trainer.engine, self.data
        if (x, y) in self.accepted:
            return
        self.trainer.make_room()
        images_x = engine.put(torch.zeros(1, data.channels_a, x[1], x[0]))
        images_y = engine.put(torch.zeros(1, data.channels_b, y[1], y[0]))
        try:
            with torch.no_grad(), eval_mode(method), engine.precision():
                compute_losses(method.generator_losses(Batch(images_x, images_y)))
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise BadInput(out_of_memory(Batch(images_x, images_y), 1, 1, method)) from error
            raise BadInput(
                f"{file_x} and {file_y}: images of {x[0]}x{x[1]} and {y[0]}x{y[1]} px do not pass through these "
                f"networks ({' '.join(str(error).split())}); a larger data.crop_size, a data.preprocess that ends in "
                f"crop, or fewer method.discriminator.layers may help"
            ) from error
        self.accepted.add((x, y))


def check_sides(method: Method, size: Size, file: ImageFile) -> None:
    """Refuse an image whose sides the generators cannot divide."""
    width, height = size
    multiple = max(network.size_multiple for network in method.translators.values())
    if height % multiple or width % multiple:
        raise BadInput(
            f"{file}: width and height must divide by {multiple} for this generator, found {width}x{height} after "
            f"data.preprocess; set data.crop_size to such a number, and a data.preprocess that ends in crop"
        )


@contextmanager
def eval_mode(method: Method) -> Iterator[None]:
    """Inside, forward passes draw no random numbers and update no batch statistics."""
    method.eval()
    try:
        yield
    finally:
        method.train()


def _mixed(found: Found) -> BadInput:
    sizes = ", ".join(f"{file.name} {width}x{height}" for (width, height), file in list(found.items())[:5])
    return BadInput(
        f"data.batch: images of one batch must have one size, found {sizes}; set data.batch 1 or a data.preprocess "
        f"that ends in crop"
    )
