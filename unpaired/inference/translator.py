"""Trained generators applied to images of any size, in whatever form they come."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unpaired.config import DataConfig, Direction, Scale
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.core.pipeline import in_batches
from unpaired.core.version import __version__
from unpaired.data.manifest import names_of, with_arrow
from unpaired.data.ranges import domain_of
from unpaired.data.transforms import resize
from unpaired.imaging.images import Array, DecodedImage, Pixels, to_array, to_pixels
from unpaired.imaging.metadata import Metadata
from unpaired.imaging.values import Domain, converted, restored
from unpaired.inference.opened import is_tensor, opened
from unpaired.inference.padding import pad_array, padding
from unpaired.inference.runtimes import Exported, Precision, Runtime, RuntimeName, is_exported, open_exported
from unpaired.inference.scale import resized_beside, train_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from unpaired.checkpoints.bundle import Bundle
    from unpaired.imaging.images import Images
    from unpaired.inference.runtimes.bundles import MakeExport
    from unpaired.models import Generator

    AnyImage = TypeVar("AnyImage", Image.Image, NDArray[np.generic], Tensor, DecodedImage, Path, str, bytes)


SLACK = 0.02
"""Beyond [-1, 1], that a resized tensor may have."""


@dataclass(frozen=True)
class Translator:
    """One direction of a trained model. Call it with an image, get the same kind back at its own size."""

    direction: Direction
    runtime: Runtime
    bundle: Bundle | None = None
    """Where the network came from; None for an exported file, which has one direction and no torch network."""
    reopen: Callable[[Direction], Runtime] | None = None
    """Another direction of the same model in the same way."""
    scale: Scale = "own"
    """Whether images keep their size, or are resized to that of training."""
    weights: Path | None = None
    """The file that it was loaded from."""

    @classmethod
    def load(
        cls,
        model: Path | str,
        direction: Direction | None = None,
        runtime: RuntimeName = "auto",
        precision: Precision | None = None,
        make_export: MakeExport | None = None,
        device: str = "auto",
        scale: Scale = "own",
    ) -> Translator:
        """From a run, a bundle, an exported file, the hub (`hub:user/name`) or a model that comes with the package.

        The direction is the first that the model has, and the precision bf16 on a CUDA card and fp32 elsewhere, unless
        given. docs/export.md lists the `runtime` that auto chooses; `make_export` is `unpaired.export.export`, to
        export a bundle on demand. The device is auto (CUDA, then MPS, then the CPU), cpu, cuda, cuda:N or mps. The
        scale is that of the images (own) or of training (train, see `inference.scale`). Raises BadInput for what is no
        model, or not in this direction, runtime, precision or on this device.
        """
        _check(scale)
        path = Path(model)
        if is_exported(path):
            if scale != "own":
                raise BadInput(f"{path}: an exported file keeps no training size; --scale train needs the bundle")
            exported = open_exported(path, runtime, device)
            facts = exported.facts
            for asked, there in ((direction, facts.direction), (precision, facts.precision)):
                if asked not in (None, there):
                    raise BadInput(f"{path}: was exported as {facts.direction} {facts.precision}, not {asked}")
            return cls(facts.direction, exported, weights=path)
        from unpaired.checkpoints.bundle import bundle_file, load_bundle
        from unpaired.hub import fetch, is_hub
        from unpaired.inference.runtimes.bundles import bundle_runtime

        path = fetch(str(model)) if is_hub(model) else path
        bundle = load_bundle(path)

        def reopen(direction: Direction) -> Runtime:
            return bundle_runtime(bundle, path, direction, runtime, precision, device, make_export)

        direction = bundle.choose(direction, model)
        return cls(direction, reopen(direction), bundle, reopen, scale, bundle_file(path))

    def describe(self) -> str:
        """Direction, engine, arithmetic and device: the first line of a command."""
        return f"{with_arrow(self.direction, self.domains)}: {self.runtime.label}, {self.runtime.place}"

    @property
    def data(self) -> DataConfig:
        """The data settings of the training; of an exported file what it says of its domains."""
        if self.bundle:
            return self.bundle.experiment.data
        return self.runtime.facts.data if isinstance(self.runtime, Exported) else DataConfig()

    @property
    def domains(self) -> tuple[str, str]:
        """Names of the domains A and B; A and B where they are not known."""
        return names_of(self.data)

    @cached_property
    def derived(self) -> str:
        """Program, direction and model, in words for the headers of translations."""
        name = f"{self.bundle.experiment.name} at step {self.bundle.step}" if self.bundle else "an exported model"
        words = f"unpaired {__version__}: {self.direction} by {name}"
        return f"{words}, SHA-256 {file_sha256(self.weights)[:16]}" if self.weights else words

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions this model has."""
        return tuple(self.bundle.directions) if self.bundle else (self.direction,)

    @property
    def device(self) -> torch.device:
        """Where `translate` computes without a transfer: the network's device, the CPU for an exported file."""
        import torch

        return getattr(self.runtime, "device", torch.device("cpu"))

    @cached_property
    def layers(self) -> Generator:
        """The bundle's network in fp32, layer by layer, for what computes it in parts: tiles and smoothed videos.

        On CUDA a copy of it there; else the network itself, on the CPU. Raises BadInput for an exported file.
        """
        if self.bundle is None:
            found = f"found an exported file ({self.runtime.label})"
            raise BadInput(f"smoothing and tiles need the run or the bundle, {found}")
        network = self.bundle.translators[self.direction]
        return deepcopy(network).to(self.device) if self.device.type == "cuda" else network

    @property
    def channels_in(self) -> int:
        """Channels of the images taken."""
        return self.runtime.channels_in

    @property
    def channels_out(self) -> int:
        """Channels of the images given."""
        return self.runtime.channels_out

    def to(self, direction: Direction) -> Translator:
        """The same model in another direction; raises BadInput if it does not have it."""
        if direction not in self.directions:
            raise BadInput(f"this model translates {', '.join(self.directions)}, not {direction}")
        if direction == self.direction or self.reopen is None:
            return self
        return replace(self, direction=direction, runtime=self.reopen(direction))

    def at(self, scale: Scale) -> Translator:
        """The same model at another scale; raises BadInput for an exported file, which keeps no training size."""
        _check(scale)
        if scale == "train" and self.bundle is None:
            raise BadInput("scale: this model is an exported file, which keeps no training size; leave scale out")
        return replace(self, scale=scale)

    def translate(self, images: Images) -> Images:
        """Floats (b, c, h, w) in [-1, 1] of any size, translated on their device; raises BadInput for anything else."""
        import torch

        from unpaired.inference.runtimes.torch import TorchRuntime

        if images.dim() != 4 or images.shape[1] != self.channels_in or not images.is_floating_point():
            expected = f"{self.channels_in} channels, (b, c, h, w) or (c, h, w), floats in [-1, 1]"
            raise BadInput(f"expected a tensor of {expected}; found {tuple(images.shape)} of {images.dtype}")
        if isinstance(self.runtime, TorchRuntime):
            return self.runtime.translate(images)
        return torch.from_numpy(self.runtime(images.detach().cpu().float().numpy())).to(images)

    def translate_decoded(self, decoded: DecodedImage) -> DecodedImage:
        """A decoded file: same size (unless `scale` is train) and bit depth; alpha and metadata are kept."""
        return self.finish(decoded, self.runtime(self.prepare(decoded)[None])[0])

    def translate_all_decoded(self, decoded_images: Sequence[DecodedImage], batch: int = 1) -> list[DecodedImage]:
        """Several; those of one padded size go through the network up to `batch` at a time."""
        arrays = [self.prepare(decoded) for decoded in decoded_images]
        return [self.finish(*pair) for pair in zip(decoded_images, self.batches(arrays, batch), strict=True)]

    def batches(self, arrays: Sequence[Array], batch: int = 1) -> list[Array]:
        """(c, h, w) each, in their order; those of one padded size go through the network up to `batch` at a time."""
        count = len(arrays)
        out: dict[int, Array] = {}
        sizes = [self.padded_size(*array.shape[1:]) for array in arrays]
        for places in in_batches(range(count), sizes.__getitem__, batch, window=count + 1):
            out |= dict(zip(places, self.submit([arrays[place] for place in places])(), strict=True))
        return [out[place] for place in range(count)]

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network computes an image of this size.

        Images of one padded size share a batch: each is padded as it would be alone, so the norms see the same pixels.
        """
        multiple, min_size = self.runtime.size_multiple, self.runtime.min_size
        return height + padding(height, multiple, min_size), width + padding(width, multiple, min_size)

    def submit(self, arrays: Sequence[Array]) -> Callable[[], list[Array]]:
        """Start translating arrays (c, h, w) of one padded size; returns a function that waits for the results."""
        sizes = [array.shape[1:] for array in arrays]
        padded = self.padded_size(*sizes[0])
        result = self.runtime.submit(np.stack([pad_array(array, padded) for array in arrays]))
        return lambda: [each[:, :height, :width] for each, (height, width) in zip(result(), sizes, strict=True)]

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the translation of an image of this size."""
        across, down = (width, height) if self.scale == "own" else train_size(self.data, width, height)
        return down, across

    @property
    def domain_in(self) -> Domain:
        """How the files taken become what the network sees."""
        return self._at_scale(domain_of(self.data, "A" if self.direction == "AtoB" else "B"))

    @property
    def domain_out(self) -> Domain:
        """The same of the files given."""
        return self._at_scale(domain_of(self.data, "B" if self.direction == "AtoB" else "A"))

    def _at_scale(self, domain: Domain) -> Domain:
        return domain if self.scale == "own" else replace(domain, fit=self._resized)

    def _resized(self, pixels: Pixels) -> Pixels:
        height, width = self.size_of(*pixels.shape[:2])
        return resize(pixels, width, height)

    def prepare(self, decoded: DecodedImage) -> Array:
        """What the network sees of a decoded file, (channels_in, h, w) in [-1, 1]; resized where `scale` is train.

        Raises BadInput for several pages or frames, or channels that the model does not take.
        """
        if decoded.pages > 1:
            found = f"holds {decoded.pages} pages or frames where one image is expected"
            raise BadInput(f"{found}; `unpaired translate` takes it")
        return to_array(self.domain_in.pixels(decoded))

    def finish(self, decoded: DecodedImage, image: Array) -> DecodedImage:
        """The network's output as an image of the original's kind, in the values of the training files.

        Pixels without data stay without data.
        """
        there = self.domain_in
        decoded = resized_beside(there.marked(decoded), *image.shape[1:])
        pixels, unheld = restored(self.values_of(image, decoded.pixels.dtype), decoded.nodata)
        alpha = None if decoded.alpha is None else converted(decoded.alpha, pixels.dtype)
        about = self.metadata_of(decoded.about, (there.clipped(decoded), unheld))
        if unheld and decoded.nodata:
            about = about.with_nodata(float(pixels[decoded.nodata.where][0, 0]))
        return DecodedImage(pixels, alpha, about)

    def metadata_of(self, about: Metadata, lost: Sequence[str]) -> Metadata:
        """What a translation says beside its pixels: as its original, and in words what its values lose."""
        about, derived = about.with_channels(self.channels_out), self.derived if about.origin else ""
        if about.origin and self.domain_in.values != self.domain_out.values:
            about = replace(about, origin=about.origin.in_other_units())
        return replace(about, lost=(*about.lost, *filter(None, lost)), derived=derived)

    def values_of(self, image: Array, dtype: np.dtype) -> Pixels:
        """The network's output in the values of the training files; `dtype` is that of the input file."""
        values = self.domain_out.values
        if values is not None:
            return values.from_unit(to_pixels(image, np.float32))
        return to_pixels(image, np.float32 if dtype == np.int16 else dtype)

    def __call__(self, image: AnyImage | list[AnyImage], batch: int = 1) -> object:
        """A PIL image, an array (h, w[, c]), a tensor in [-1, 1], a file's path or bytes, or a list of these.

        The same kind comes back: of bytes, those of a file in the same format; of a path, a PIL image. In a list,
        images of one padded size go through the network up to `batch` at a time. Raises BadInput for a file that cannot
        be read, values that are not finite, or channels that the model does not take; warns of values outside black and
        white, which are clipped.
        """
        images = image if isinstance(image, list) else [image]
        decoded = [None if is_tensor(each) else opened(each) for each in images]
        files = [each[0] for each in decoded if each]
        there = self.domain_in
        for words in sorted({words for each in files if (words := there.clipped(there.marked(each)))}):
            warnings.warn(words, stacklevel=2)
        translated = iter(self.translate_all_decoded(files, batch))
        results = [
            each[1](next(translated)) if each else self._tensor(whole)
            for whole, each in zip(images, decoded, strict=True)
        ]
        return results if isinstance(image, list) else results[0]

    def _tensor(self, image: Any) -> Tensor:
        known = image.is_floating_point() and image.numel()
        least, most = (float(each) for each in image.detach().aminmax()) if known else (0.0, 0.0)
        if not (math.isfinite(least) and math.isfinite(most)):
            raise BadInput("expected a tensor of finite values; found some that are not")
        if max(-least, most) > 1 + SLACK:
            warnings.warn(f"a tensor of {least:g} to {most:g}, where the network was trained on -1 to 1", stacklevel=3)
        return self.translate(image) if image.dim() == 4 else self.translate(image[None])[0]


def _check(scale: Scale) -> None:
    if scale not in get_args(Scale):
        raise BadInput(f"scale: expected {' or '.join(get_args(Scale))}, found {scale!r}")
