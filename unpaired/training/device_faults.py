"""Failures of a device, explained in one line with the settings that help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from unpaired.config.size import Size
from unpaired.core.device import is_out_of_memory
from unpaired.core.errors import BadInput, shown
from unpaired.methods import Batch
from unpaired.models.resnet import keeps_blocks


@contextmanager
def explained(batch: Batch, step: int, accumulate: int, method: nn.Module) -> Iterator[None]:
    """Inside, too little memory and a lost device raise BadInput; what was saved before is kept."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if _came_from_memory(error):
            raise BadInput(out_of_memory(batch, step, accumulate, method)) from error
        if not isinstance(error, torch.AcceleratorError):
            raise
        reason = shown(str(error).partition("\n")[0])
        raise BadInput(
            f"runtime.device: {batch.x.device} failed at step {step} ({reason}); the last checkpoint is kept, and the "
            f"same command resumes from it once the device works"
        ) from error


def _came_from_memory(error: BaseException | None) -> bool:
    """Whether too little memory is the cause: the end of a recording that failed for it raises an error of its own."""
    while error is not None and not is_out_of_memory(error):
        error = error.__cause__ or error.__context__
    return error is not None


def out_of_memory(batch: Batch, step: int, accumulate: int, method: nn.Module) -> str:
    """The images of a step that does not fit, and the settings that lower its memory, the cheapest first."""
    count, _, height, width = batch.x.shape
    once = -(-count // accumulate)
    advice = ["runtime.checkpoint_blocks true"] if keeps_blocks(method) else []
    if once > 1:
        advice.append(f"data.batch {max(1, once // 2)} with optim.accumulate {2 * accumulate}, for the same gradient")
    smaller = Size(*(max(32, side // 2 // 32 * 32) for side in (width, height)))
    advice.append(f"data.crop_size {smaller}")
    return (
        f"runtime.device: {batch.x.device} has too little memory for step {step} with {once} images of "
        f"{width}x{height} px of each domain at once; set {', or '.join(advice)}"
    )
