"""ONNX, for onnxruntime, browsers, phones and other languages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from unpaired.core.errors import BadInput
from unpaired.core.signals import held_back
from unpaired.export.graph import PixelGraph
from unpaired.inference.runtimes.facts import IMAGE, KEY, TRANSLATION, Facts

OPSET = 18
"""Of 2022: read by every ONNX Runtime and OpenVINO since 2023."""
TRACED = (2, 37, 41)
"""Batch, height and width of the example: odd and unequal, so that no size is taken for a constant or another."""


def write_onnx(graph: PixelGraph, facts: Facts, path: Path) -> None:
    """Trace the graph with dynamic batch, height and width, and write it as one file with the facts in its metadata.

    Raises:
        BadInput: the exporter is not installed, or cannot express the network.
    """
    try:
        import onnxscript  # noqa: F401
        from onnx_ir import Shape
    except ImportError as error:
        raise BadInput("export to ONNX needs its own packages; pip install 'unpaired[export]'") from error
    example = torch.rand(*TRACED, facts.channels_in) * 255
    dynamic = {0: "batch", 1: "height", 2: "width"}
    with quietly(), held_back():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            dynamic_shapes=(dynamic,),
            input_names=[IMAGE],
            output_names=[TRANSLATION],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # only the old exporter returns none
    for node in program.model.graph:
        node.metadata_props.clear()  # the exporter's notes: where in whose source tree each node came from
    program.model.graph.outputs[0].shape = Shape([*dynamic.values(), facts.channels_out])  # it comes as formulas
    program.model.metadata_props[KEY] = facts.to_json()
    program.save(path)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the exporter's remarks: on torchvision, which is not wanted, and on torch's own deprecated calls."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
