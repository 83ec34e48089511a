"""`.pt2`, for programs in torch: `torch.export`'s archive. The package writes it and reads none but its own, to check.

Torch's loader unpickles parts of an archive (with `weights_only=False` where `True` fails) and evaluates its symbolic
sizes as Python, so a file of unknown origin can run code. What is written here holds no pickled part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.export.graph import PixelGraph
from unpaired.export.onnx import TRACED, quietly
from unpaired.imaging.images import Array
from unpaired.inference.runtimes.facts import WHITE, Described, Facts, from_levels, to_levels

FACTS = "unpaired.json"
"""The extra file of the archive that holds the facts."""


def write_pt2(graph: PixelGraph, facts: Facts, path: Path) -> None:
    """Trace the graph with dynamic batch, height and width, and write it with the facts as an extra file."""
    example: Float[Tensor, "b h w c"] = torch.rand(*TRACED, facts.channels_in) * WHITE
    dynamic = dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)
    with quietly():
        program = torch.export.export(graph, (example,), dynamic_shapes=(dynamic,), strict=False)
        program.example_inputs = None  # the one part that would be pickled
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # where in whose source tree it came from
        torch.export.save(program, path, extra_files={FACTS: facts.to_json()})


@dataclass(frozen=True)
class Written(Described):
    """An archive just written, to be checked; a `Runtime`."""

    engine = "pt2"
    program: Any
    facts: Facts

    @classmethod
    def read_back(cls, path: Path) -> Written:
        """Load what `write_pt2` wrote a moment ago; never a file from elsewhere."""
        extra = {FACTS: ""}
        with quietly():
            program = torch.export.load(path, extra_files=extra).module()
        return cls(program, Facts.from_json(extra[FACTS], str(path)))

    @torch.inference_mode()
    def __call__(self, images: Array) -> Array:
        """(b, channels_in, h, w) to (b, channels_out, h, w), both in [-1, 1]."""
        return from_levels(self.program(torch.from_numpy(to_levels(images))).numpy())
