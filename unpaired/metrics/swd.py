"""Sliced Wasserstein distance between two sets of images, on patches of their Laplacian pyramids.

Do the translations, as a set, have the patches of real images? The finest level compares texture and sharpness, the
coarsest layout and colour. No network and no weights. 0 for equal sets; reported times 1000, as in the source.

Source: Karras, Aila, Laine, Lehtinen, Progressive Growing of GANs, ICLR 2018 (arXiv:1710.10196), Sec. 5: pyramid
levels down to 16 px, 7 x 7 neighbourhoods, 128 an image and level, normalised per channel, 512 projections.
Differences, for small sets of small images:

- Levels go from the smallest image's size down to 16 px: 64, 32, 16 for images of 64 px.
- 128 neighbourhoods an image and level, but at most 2^13 a level (the source has 2^21, of 2^14 images):
  twice as many move the distance by 1 %, other test images by 20 %. At 16 px an image has 100 places, so some may
  be drawn twice.
- Both sets are normalised by the same mean and deviation per channel, of the two sets with equal weight. The source's
  code normalises each by its own, which hides any shift of colour or contrast, and such shifts are what a
  translation gets wrong.
- Sets of different sizes: the larger set's quantile function is read at as many quantiles as the smaller set has.
- Image i of either set is cut at the same places, so a set has distance 0 to itself, exactly.

Small sets have a distance above 0 even to other real images of their kind: compare only sets of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unpaired.imaging.images import Images
from unpaired.metrics.bootstrap import Estimate, group_numbers
from unpaired.metrics.paired import WHITE, levels, separable

Sample = Float[NDArray[np.float32], "p n"]
"""n numbers for each of p projections."""
Neighbourhoods = Float[NDArray[np.float32], "n k c 49"]
"""k of each of n images."""
SMALLEST_LEVEL = 16
"""Pixels on the short side of the coarsest level."""
SIDE, PER_IMAGE, PER_LEVEL = 7, 128, 2**13
"""Of neighbourhoods: pixels a side; how many of an image, and of a set, at a level."""
PROJECTIONS, SCALE, SEED = 512, 1e3, 0
HALVES, HALF_PROJECTIONS = 40, 32
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def level_sizes(short_side: int) -> list[int]:
    """Short sides of the pyramid's levels, finest first.

    Raises:
        ValueError: smaller than the coarsest level.
    """
    if short_side < SMALLEST_LEVEL:
        raise ValueError(f"swd: expected images of at least {SMALLEST_LEVEL} px, got {short_side} px")
    sizes = [short_side]
    while (sizes[-1] + 1) // 2 >= SMALLEST_LEVEL:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def laplacian_pyramid(images: Images, depth: int) -> list[Tensor]:
    """Laplacian pyramid: each level minus the enlarged next one, finest first; the last is the small image itself."""
    pyramid, current = [], images
    for _ in range(depth - 1):
        smaller = _smooth(current)[:, :, ::2, ::2]
        pyramid.append(current - _enlarge(smaller, current.shape[2:]))
        current = smaller
    return [*pyramid, current]


def per_image(images: int) -> int:
    """Neighbourhoods taken of each image and level of a set of so many images."""
    return max(1, min(PER_IMAGE, PER_LEVEL // images))


class Patches:
    """7 x 7 neighbourhoods of a set of images, gathered batch by batch."""

    def __init__(self, depth: int, images: int) -> None:
        """For a pyramid of `depth` levels and so many images, which decides how many neighbourhoods each gives."""
        self.per_image = per_image(images)
        self.found: list[dict[int, NDArray[np.float32]]] = [{} for _ in range(depth)]

    def add(self, images: Images, indices: Sequence[int]) -> None:
        """Take neighbourhoods of a batch; `indices` are the images' numbers in their set, in any order.

        Rounded to 8 bits first, as every other measure has it.
        """
        for level, band in enumerate(laplacian_pyramid(levels(images) / (WHITE / 2) - 1, len(self.found))):
            windows = band.cpu().numpy().transpose(0, 2, 3, 1)
            windows = np.lib.stride_tricks.sliding_window_view(windows, (SIDE, SIDE), axis=(1, 2))  # b y x c 7 7
            for index, places in zip(indices, windows, strict=True):
                rng = np.random.default_rng([SEED, level, index])
                rows, columns = (rng.integers(side, size=self.per_image) for side in places.shape[:2])
                self.found[level][index] = places[rows, columns]

    def level(self, level: int) -> Neighbourhoods:
        """The neighbourhoods of one level: k of each image, in the images' order."""
        stacked = np.stack([patches for _, patches in sorted(self.found[level].items())])
        return stacked.reshape(*stacked.shape[:3], SIDE * SIDE)


@dataclass(frozen=True)
class Distance:
    """The distance of two sets, times 1000; levels finest first."""

    levels: tuple[Estimate, ...]
    mean: Estimate


def distance(
    a: Patches,
    b: Patches,
    groups: tuple[Sequence[object] | None, Sequence[object] | None] = (None, None),
    together: bool = False,
) -> Distance:
    """The distance of each level and their mean, with intervals; the same with the two sets exchanged.

    `groups` are those of either set's images, as in `metrics.bootstrap`. With `together`, for translation and truth of
    the same images, an image is drawn in both sets or in neither.
    """
    numbers = [group_numbers(g, len(each.found[0])) for g, each in zip(groups, (a, b), strict=True)]
    values, halves = [], []
    for level in range(len(a.found)):
        x, y = _normalised(a.level(level), b.level(level))
        drawn = np.random.default_rng(SEED + level).standard_normal((PROJECTIONS, x.shape[2]))
        directions = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        values.append(SCALE * float(wasserstein(_project(x, directions), _project(y, directions)).mean()))
        few = directions[:HALF_PROJECTIONS]
        halves.append(SCALE * _half_samples(_project(x, few), _project(y, few), numbers, together))
    mean, independent = float(np.mean(values)), min(int(each.max()) + 1 for each in numbers)
    *by_level, of_mean = (
        Estimate(value, found, len(numbers[0]), independent, normal=True, lowest=0)
        for value, found in zip([*values, mean], [*halves, np.mean(halves, axis=0)], strict=True)
    )
    return Distance(tuple(by_level), of_mean)


def wasserstein(a: Sample, b: Sample) -> NDArray[np.float32]:
    """The 1-D Wasserstein-1 distance of two samples, row by row: the mean gap between their quantile functions.

    Exact for samples of one size. Otherwise the larger sample's quantile function is read, between its sorted
    values, at the smaller one's n quantiles (i + 1/2) / n.
    """
    n = min(a.shape[1], b.shape[1])
    return np.abs(_quantiles(a, n) - _quantiles(b, n)).mean(axis=1)


def _quantiles(sample: Sample, n: int) -> Sample:
    ordered = np.sort(sample, axis=1)
    size = ordered.shape[1]
    if size == n:
        return ordered
    place = (np.arange(n, dtype=np.float64) + 0.5) / n * size - 0.5
    below = np.floor(place).astype(int)
    share = (place - below).astype(np.float32)
    return ordered[:, below] * (1 - share) + ordered[:, np.minimum(below + 1, size - 1)] * share


def _normalised(a: Neighbourhoods, b: Neighbourhoods) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, k, c * 49) of both sets, by the mean and deviation per channel of the two with equal weight."""
    means, squares = ([(s.astype(np.float64) ** power).mean(axis=(0, 1, 3)) for s in (a, b)] for power in (1, 2))
    mean = (means[0] + means[1]) / 2
    deviation = np.sqrt(np.maximum((squares[0] + squares[1]) / 2 - mean**2, 1e-12))
    shift, scale = (v.astype(np.float32)[:, None] for v in (mean, deviation))
    first, second = (((s - shift) / scale).reshape(*s.shape[:2], -1) for s in (a, b))
    return first, second


def _project(patches: NDArray[np.float32], directions: NDArray[np.float32]) -> Sample:
    return directions @ patches.reshape(-1, patches.shape[2]).T


def _half_samples(a: Sample, b: Sample, groups: Sequence[NDArray[np.int64]], together: bool) -> NDArray[np.float64]:
    """The distance of one half of each set, for `HALVES` choices of halves; groups stay whole.

    Resampling with replacement would repeat patches, and a distance that cannot be negative then grows. Halves
    without repeats vary as much around their mean as the whole set would around the truth: the factor of the
    delete-d jackknife, (n - d) / d, is 1 at d = n / 2 (Shao, Wu, Annals of Statistics 17(3), 1989).
    """
    rng = np.random.default_rng(SEED)
    results = []
    for _ in range(HALVES):
        first = _half(groups[0], rng)
        second = first if together else _half(groups[1], rng)
        results.append(float(wasserstein(_of_images(a, first), _of_images(b, second)).mean()))
    return np.array(results)


def _half(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which images belong to a random half of the groups."""
    count = int(groups.max()) + 1
    return np.isin(groups, rng.permutation(count)[: (count + 1) // 2])


def _of_images(sample: Sample, chosen: NDArray[np.bool_]) -> Sample:
    return sample.reshape(len(sample), len(chosen), -1)[:, chosen].reshape(len(sample), -1)


def _smooth(x: Tensor) -> Tensor:
    """The binomial 5 x 5 filter of Burt and Adelson, edges mirrored."""
    return separable(functional.pad(x, (2, 2, 2, 2), mode="reflect"), BINOMIAL)


def _enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """Twice the size: zeros between the pixels, smoothed; times 4 so that brightness stays."""
    spread = x.new_zeros(*x.shape[:2], *size)
    spread[:, :, ::2, ::2] = x
    return 4 * _smooth(spread)
