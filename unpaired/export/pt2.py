"""`.pt2`, for programs in torch: `torch.export`'s archive. The package writes it and reads none but its own, to check.

Torch's loader unpickles parts of an archive (with `weights_only=False` where `True` fails) and evaluates its symbolic
sizes as Python, so a file of unknown origin can run code. What is written here holds no pickled part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unpaired.core.signals import held_back
from unpaired.export.graph import PixelGraph
from unpaired.export.onnx import TRACED, quietly
from unpaired.imaging.images import Array
from unpaired.inference.runtimes import Exported, Facts
from unpaired.inference.runtimes.facts import WHITE, from_levels, to_levels

FACTS = "unpaired.json"
"""The extra file of the archive that holds the facts."""


def write_pt2(graph: PixelGraph, facts: Facts, path: Path) -> None:
    """Trace the graph with dynamic batch, height and width, and write it with the facts as an extra file."""
    example = torch.rand(*TRACED, facts.channels_in) * WHITE
    dynamic = dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)
    with quietly(), held_back():
        program = torch.export.export(graph, (example,), dynamic_shapes=(dynamic,), strict=False)
        program.example_inputs = None  # the one part that would be pickled
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # where in whose source tree it came from
        torch.export.save(program, path, extra_files={FACTS: facts.to_json()})


class Written(Exported):
    """An archive that `write_pt2` wrote a moment ago, loaded to be checked; never a file from elsewhere."""

    def __init__(self, path: Path) -> None:
        extra = {FACTS: ""}
        with quietly():
            self.program: Any = torch.export.load(path, extra_files=extra).module()
        super().__init__("pt2", Facts.from_json(extra[FACTS], str(path)))

    @torch.inference_mode()
    def __call__(self, images: Array) -> Array:
        """(b, channels_in, h, w) to (b, channels_out, h, w), both in [-1, 1]."""
        return from_levels(self.program(torch.from_numpy(to_levels(images))).numpy())
