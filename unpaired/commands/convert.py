"""Other tools' weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from unpaired.config import Direction


def convert(
    source: Annotated[Path, Positional],
    out: Annotated[Path, Positional],
    *,
    direction: Direction | None = None,
    epoch: str = "latest",
    b: str | None = None,
) -> None:
    """Weights of the official code, CUT, mmagic, UPIT or joliGEN into a bundle; a bundle into official .pth files.

    Args:
        source: A .pth file, a folder of latest_net_G_A.pth and latest_net_G_B.pth, or a bundle or run to write out.
        out: Bundle or its folder; for a bundle as source a .pth file or a folder for both.
        direction: What a file with one generator does (AtoB unless its name ends in G_B); or which one to write.
        epoch: Which files of a folder: EPOCH_net_G_A.pth.
        b: The name that an mmagic file gives to the domain of folder B.
    """
    from unpaired.checkpoints.convert import convert

    print("\n".join(convert(source, out, direction=direction, epoch=epoch, b=b)))
