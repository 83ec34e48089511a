"""Speed beside the published code."""

from __future__ import annotations

from typing import Literal

from unpaired.commands.arguments import File


def bench(
    case: Literal["train", "translate"],
    *,
    size: int | None = None,
    width: int = 64,
    blocks: int | None = None,
    batch: int = 1,
    repeats: int = 7,
    device: str = "auto",
    precision: Literal["auto", "bf16", "fp32", "exact"] = "auto",
    threads: int = 0,
    model: File | None = None,
    json: bool = False,
) -> None:
    """Time training or translation beside the published code.

    The baseline is a plain version of that code.

    Both are timed in turn, in one process. The last line on stdout is JSON: medians in milliseconds, their ratio, the
    10th and 90th percentiles, device, threads, versions, commit.

    Args:
        case: train: one step of the published networks with identity terms; translate: one image through a generator.
        size: Side of the images in pixels; 128 for train and 256 for translate unless given.
        width: Feature maps of the generators' first convolution.
        blocks: Residual blocks; 6 below 256 px and 9 from there on unless given.
        batch: Images in a batch.
        repeats: Timed runs of each; use more on a busy machine.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.
        precision: Arithmetic of this package's side, as runtime.precision.
        threads: CPU threads; 0 leaves torch's choice.
        model: Run, bundle or exported file to translate with, in place of a fresh generator.
        json: Print no table on stderr.

    Example:
        unpaired bench train --size 256
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
