"""How fast it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional


def bench(
    case: Annotated[Literal["train", "translate"], Positional],
    *,
    size: int | None = None,
    width: int = 64,
    blocks: int | None = None,
    batch: int = 1,
    repeats: int = 7,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "bf16", "fp32", "exact"] = "auto",
    threads: int = 0,
    model: Path | None = None,
    json: bool = False,
) -> None:
    """Time a training step or a translation beside a plain version of the published code, in one run.

    The two take turns; the last line on stdout is JSON: medians in milliseconds, their ratio, the 10th and 90th
    percentiles, device, threads, versions, commit.

    Args:
        case: train, one step of published networks with identity terms; or translate, one image through a generator.
        size: Side of the images in pixels: 128 for train and 256 for translate unless given.
        width: Feature maps of the generators' first convolution.
        blocks: Residual blocks: 6 below 256 px, 9 from there on, unless given.
        batch: Images at a time.
        repeats: Timed runs of each; more where other programs run beside it.
        device: Where to compute; auto takes the fastest present.
        precision: Arithmetic of our side, as runtime.precision.
        threads: CPU threads; 0 leaves torch's choice.
        model: Translate with this run, bundle or exported file in place of a fresh generator.
        json: No table on stderr.
    """
    import sys
    from json import dumps

    from unpaired.bench import Case, describe
    from unpaired.bench import bench as measure
    from unpaired.config import RuntimeConfig

    side = size or (128 if case == "train" else 256)
    runtime = RuntimeConfig(device=device, precision=precision, threads=threads)
    sizes = {"size": side, "width": width, "blocks": blocks, "batch": batch, "repeats": repeats}
    result = measure(Case(name=case, **sizes, runtime=runtime, model=model))
    if not json:
        print(describe(result), file=sys.stderr)
    print(dumps(result))
