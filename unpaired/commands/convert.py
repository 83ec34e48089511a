"""Weights of other tools."""

from __future__ import annotations

from pathlib import Path

from unpaired.config import Direction
from unpaired.config.networks import Padding


def convert(
    source: Path,
    out: Path,
    *,
    direction: Direction | None = None,
    epoch: str = "latest",
    b: str | None = None,
    padding: Padding | None = None,
    trained: Direction = "AtoB",
    load_size: str | None = None,
    crop_size: str | None = None,
    preprocess: str | None = None,
) -> None:
    """Convert weights of other tools to a bundle, or back.

    Read: the official code, CUT, mmagic, UPIT, joliGEN. Written: .pth files of the official code.

    Args:
        source: A .pth file, a folder of latest_net_G_A.pth and latest_net_G_B.pth; or a bundle or run to write as .pth.
        out: Bundle or its folder; for a bundle as SOURCE a .pth file, or a folder for both directions.
        direction: What a file with one generator does (AtoB unless its name ends in G_B); or which one to write.
        epoch: Which files of a folder: EPOCH_net_G_A.pth.
        padding: Of the residual blocks: reflect, replicate or zero, as the weights were trained.
        trained: --direction of the official training; BtoA exchanges G_A and G_B.
        load_size: Of the training; by train_opt.txt beside the weights unless given.
        crop_size: The same.
        preprocess: The same.
        b: The name that an mmagic file gives to the domain of folder B.

    Example:
        unpaired convert checkpoints/horse2zebra_pretrained models/zebra
    """
    from unpaired.checkpoints.convert import convert

    sizes = {"load_size": load_size, "crop_size": crop_size, "preprocess": preprocess}
    lines = convert(source, out, direction=direction, epoch=epoch, b=b, padding=padding, trained=trained, **sizes)
    print("\n".join(lines))
