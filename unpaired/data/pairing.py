"""Which image of A meets which image of B at each step, and the batches made of them.

Everything is a function of (seed, epoch, index): not of the number of workers, nor of what came before.
So a run resumes at any step by going there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unpaired.config import DataConfig
from unpaired.core.errors import BadInput, some_of
from unpaired.data.folders import READERS, Files, PixelStore, domain_files, inside_part
from unpaired.data.masks import MASKS, masks_for
from unpaired.data.ranges import Side, domain_of
from unpaired.data.resident import ResidentImages
from unpaired.data.sources import ImageFile
from unpaired.data.transforms import Window, augmented, draw_window
from unpaired.imaging.images import Images, OneImage, Pixels, full_scale, to_images, to_weights
from unpaired.imaging.kinds import without_suffix
from unpaired.imaging.values import Domain


@dataclass(frozen=True)
class Crop:
    """A drawn window of an image."""

    file: ImageFile
    image: Pixels | Tensor
    """The whole of it, (h, w, c), as it is kept in memory or on the device."""
    window: Window

    @property
    def pixels(self) -> Pixels:
        """The window's pixels on the host, mirrored where it is; a view."""
        return self.window.cut(self.image.cpu().numpy() if isinstance(self.image, Tensor) else self.image)


@dataclass(frozen=True)
class Crops:
    """Crops of one size as their files have them: with 8 bits a quarter of the bytes of the images they become."""

    crops: tuple[Crop, ...]
    """Their images are all on the device, or all on the host."""
    resident: ResidentImages | None = None
    """Where images of the host are kept for the next time they are drawn."""

    @property
    def is_resident(self) -> bool:
        """Whether the images are on the device, so that the crops are cut there."""
        return all(isinstance(crop.image, Tensor) for crop in self.crops)

    @cached_property
    def pixels(self) -> Tensor:
        """The pixels, (b, h, w, c), not mirrored: uint8, uint16 or float32; where bit depths meet, float32."""
        views = [crop.window.of(crop.image) for crop in self.crops]
        if self.is_resident:
            return torch.stack(views)
        if len({view.dtype for view in views}) > 1:
            views = [view / np.float32(full_scale(view.dtype)) for view in views]
        return torch.from_numpy(np.stack(views))

    def on(self, device: torch.device, layout: torch.memory_format = torch.contiguous_format) -> Images:
        """The images in [-1, 1]. On a CUDA card they are scaled and mirrored there, and nothing waits for the copy."""
        pixels = self.pixels
        if device.type == "cuda" and not pixels.is_cuda:
            pixels = pixels.pin_memory().to(device, non_blocking=True)  # only from there a copy does not wait
        images = to_images(pixels, layout)
        for image, crop in zip(images, self.crops, strict=True):
            if crop.window.mirrored:
                image.copy_(image.flip(2))
            if self.resident is not None:
                self.resident.keep(crop.file, crop.image)
        return images.to(device)


@dataclass(frozen=True)
class HostBatch:
    """Pixels of one step, and the files they came from."""

    a: Crops
    b: Crops
    files: tuple[ImageFile, ...]
    share: float = 1.0
    """Images of this process over the mean of all; 0 where there was none left for it, and these count nothing."""
    aligned: tuple[Crops, Crops] | None = None
    """Aligned images of A and B in addition, if `data.pairs` is set."""
    masks: tuple[Images, Images] | None = None
    """Where x and y are translated, (b, 1, h, w): 1 inside, 0 outside; with `data.masks`."""

    @cached_property
    def x(self) -> Images:
        """The images of X in [-1, 1], on the CPU."""
        return self.a.on(CPU)

    @cached_property
    def y(self) -> Images:
        """Those of Y."""
        return self.b.on(CPU)

    @cached_property
    def pairs(self) -> tuple[Images, Images] | None:
        """The aligned ones of X and Y."""
        return (self.aligned[0].on(CPU), self.aligned[1].on(CPU)) if self.aligned else None


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Portion:
    """Which of a step's images this process sees."""

    process: int = 0
    processes: int = 1
    accumulate: int = 1
    """Batches that make one step of one process."""

    @property
    def batches(self) -> int:
        """Batches in a step of all processes."""
        return self.processes * self.accumulate


class UnpairedImages:
    """trainA and trainB as batches of unrelated images, as the official code draws them.

    An epoch is max(|A|, |B|) images long. A is gone through in a new random order each epoch, again from the
    start where it is the shorter; the image of B is drawn at random, with replacement. Only where `data.paired`
    asks for it B is the image of A's name, with the same crop and mirror.
    """

    def __init__(
        self,
        cfg: DataConfig,
        seed: int,
        skipped: Collection[str] = (),
        portion: Portion = Portion(),  # noqa: B008, frozen
        store: PixelStore | None = None,
    ) -> None:
        """Lists the files of `cfg.root`, but for the `skipped` paths inside it; `store` may hold some already.

        Raises:
            BadInput: trainA or trainB is missing or empty, or said to be paired and their names differ, or some of
                their images have no mask though `data.masks` asks for them.
        """
        root = Path(cfg.root)
        self.cfg, self.seed, self.portion = cfg, seed, portion
        self.a, self.b = (domain_files(root, name, skipped, cfg.pages) for name in ("trainA", "trainB"))
        self.partners = _partners(self.a, self.b, root, "train") if cfg.paired else None
        a, b = (domain_files(root, name, skipped, cfg.pages) if cfg.pairs else [] for name in ("pairsA", "pairsB"))
        self.pairs = list(_partners(a, b, root, "pairs").items())
        self.masks = {**_masks(self.a, cfg, "trainA"), **_masks(self.b, cfg, "trainB")} if cfg.masks else {}
        self.store = store or PixelStore(cfg)
        self.domains: dict[Side, Domain] = {"A": domain_of(cfg, "A"), "B": domain_of(cfg, "B")}
        self.length = max(len(self.a), len(self.b))
        """Images of each domain in an epoch."""
        self.per_step = cfg.batch * portion.batches
        """Images of each domain in a step of all processes."""
        self.steps_per_epoch = -(-self.length // self.per_step)

    def pair(self, epoch: int, index: int) -> tuple[Crop, Crop, tuple[OneImage, ...]]:
        """The `index`-th crops of an epoch, and the masks of both images where there are masks."""
        rng = np.random.default_rng((self.seed, epoch, index))
        a = self.a[int(_order(self.length, self.seed, epoch)[index]) % len(self.a)]
        b = self.partners[a] if self.partners else self.b[int(rng.integers(len(self.b)))]
        again = deepcopy(rng) if self.partners else rng
        one, of_one = self._seen(a, "A", rng)
        other, of_other = self._seen(b, "B", again)
        return one, other, of_one + of_other

    def _seen(self, path: ImageFile, side: Side, rng: np.random.Generator) -> tuple[Crop, tuple[OneImage, ...]]:
        """A crop of an image; with masks its mask, (1, h, w) from 0 to 1, cropped and mirrored as it is."""
        again = deepcopy(rng) if self.masks else rng
        crop = self._crop(path, side, rng)
        if not self.masks:
            return crop, ()
        mask = self.store.read_mask(self.masks[path])
        if mask.shape[:2] != tuple(crop.image.shape[:2]):  # its file was changed after the first step
            raise BadInput(f"{self.masks[path]}: no longer of the size of its image {path}; put the mask back")
        return crop, (to_weights(augmented(mask, self.cfg, again)),)

    def _crop(self, path: ImageFile, side: Side, rng: np.random.Generator) -> Crop:
        image = self.store.find(path, self.domains[side])
        return Crop(path, image, draw_window(image.shape[0], image.shape[1], self.cfg, rng))

    def _stack(self, crops: Sequence[Crop], side: Side) -> Crops:
        """One batch; its crops are cut here unless all images are on the device."""
        _require_one_size(crops)
        batch = Crops(tuple(crops), self.store.resident)
        if not batch.is_resident:
            batch = replace(batch, crops=tuple(self._on_host(crop, side) for crop in crops))
            _ = batch.pixels  # copied by this thread
        return batch

    def _on_host(self, crop: Crop, side: Side) -> Crop:
        """The crop itself, or of the image read again where that is on the device."""
        if not isinstance(crop.image, Tensor):
            return crop
        return replace(crop, image=self.store.read(crop.file, self.domains[side]))

    def batch(self, step: int) -> HostBatch:
        """The batch of this process at step number `step` of the run; the last batch of an epoch may be smaller.

        The images of a step are dealt to the processes as evenly as they go. One left without any gets the first
        of the step, with a share of 0, so that it keeps step with the others.

        Raises:
            BadInput: a file that cannot be used, or images of different sizes in one batch.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self.per_step
        every = np.arange(first, min(first + self.per_step, self.length))
        mine = np.array_split(every, self.portion.processes)[self.portion.process]
        indices = [int(index) for index in (mine if len(mine) else every[:1])]
        ones, others, masks = zip(*(self.pair(epoch, index) for index in indices), strict=True)
        share = 1.0 if self.portion.processes == 1 else len(mine) * self.portion.processes / len(every)
        of_x, of_y = zip(*masks, strict=True) if self.masks else ((), ())
        masked = (torch.stack(of_x), torch.stack(of_y)) if self.masks else None
        aligned = self._aligned(epoch, indices[0])
        files = tuple(crop.file for crop in (*ones, *others))
        return HostBatch(self._stack(ones, "A"), self._stack(others, "B"), files, share, aligned, masked)

    def _aligned(self, epoch: int, index: int) -> tuple[Crops, Crops] | None:
        """`data.pairs` pairs drawn for the step that begins at an index, with equal crop and mirror for A and B."""
        if not self.pairs:
            return None
        rng = np.random.default_rng((self.seed, epoch, index, 1))
        drawn = [self.pairs[int(k)] for k in rng.integers(len(self.pairs), size=self.cfg.pairs)]
        sides = ([], [])
        for a, b in drawn:
            again = deepcopy(rng)
            sides[0].append(self._crop(a, "A", rng))
            sides[1].append(self._crop(b, "B", again))
        return self._stack(sides[0], "A"), self._stack(sides[1], "B")

    def batches(self, start: int, stop: int) -> Iterator[HostBatch]:
        """The batches of steps start..stop-1, read ahead by `cfg.workers` threads."""
        workers = READERS if self.cfg.workers is None else self.cfg.workers
        if workers == 0:
            yield from map(self.batch, range(start, stop))
            return
        ahead: deque[Future[HostBatch]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="read-ahead") as pool:
            try:
                for step in range(start, stop):
                    while len(ahead) < 2 * workers and step + len(ahead) < stop:
                        ahead.append(pool.submit(self.batch, step + len(ahead)))
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()


@lru_cache(maxsize=4)
def _order(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(length)


def _masks(images: Files, cfg: DataConfig, part: str) -> dict[ImageFile, ImageFile]:
    """The mask of each image of a part."""
    root = Path(cfg.root)
    found = masks_for(images, domain_files(root, MASKS[part], pages=cfg.pages), root, part)
    masks = {image: mask for image, mask in zip(images, found, strict=True) if mask is not None}
    if alone := [str(image) for image in images if image not in masks]:
        wanted = f"expected {MASKS[part]} of {root} to hold a mask for every image of {part}"
        raise BadInput(f"data.masks: {wanted}, found none for {some_of(alone)}; add them, or set data.masks false")
    return masks


def _partners(a: Sequence[ImageFile], b: Sequence[ImageFile], root: Path, part: str) -> dict[ImageFile, ImageFile]:
    """For each file of A the file of B of the same name, its suffix aside."""
    by_name = [{without_suffix(inside_part(path, root)): path for path in files} for files in (a, b)]
    alone = sorted(map(str, by_name[0].keys() ^ by_name[1].keys()))
    if alone or len(by_name[0]) < len(a):
        setting, off = ("data.paired", "false") if part == "train" else ("data.pairs", "0")
        found = f"{len(alone)} without a partner: {some_of(alone, 5)}" if alone else "one name twice"
        wanted = f"expected {part}A and {part}B of {root} to hold the same names"
        raise BadInput(f"{setting}: {wanted}, found {found}; set {setting} {off}, or prepare the pairs")
    return {path: by_name[1][name] for name, path in by_name[0].items()}


def _require_one_size(crops: Sequence[Crop]) -> None:
    sizes = [tuple(crop.window.of(crop.image).shape[:2]) for crop in crops]
    if len(set(sizes)) > 1:
        found = ", ".join(f"{crop.file.name} {w}x{h}" for crop, (h, w) in zip(crops, sizes, strict=True))
        remedy = "set data.batch 1 or a data.preprocess that ends in crop"
        raise BadInput(f"data.batch: images of one batch must have one size, found {found}; {remedy}")
