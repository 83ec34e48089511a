"""OpenVINO's own format, in fp32, for bf16 arithmetic, or quantised to int8."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Array
from unpaired.inference.runtimes.facts import KEY, Facts, to_levels
from unpaired.inference.runtimes.openvino import only


def write_openvino(onnx: Path, facts: Facts, images: Sequence[Array], path: Path) -> None:
    """Convert a file of `write_onnx`; writes `path` (.xml, with the facts in it) and its weights (.bin) beside it.

    bf16 halves the weights in the file; int8 quantises layers and weights, by the activations of images (c, h, w) in
    [-1, 1].

    Raises:
        BadInput: OpenVINO or NNCF is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise BadInput("export to OpenVINO needs its own packages; pip install 'unpaired[openvino]'") from error
    model = only(openvino.Core).read_model(onnx)
    if facts.precision == "int8":
        model = quantised(model, images)
    model.set_rt_info(facts.to_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=facts.precision == "bf16")


def quantised(model: Any, images: Sequence[Array]) -> Any:
    """Weights and activations in int8 by post-training quantisation (NNCF), ranges from `images`."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            import nncf
        except ImportError as error:
            raise BadInput("export to int8 needs NNCF; pip install 'unpaired[openvino]'") from error
        logging.getLogger("nncf").setLevel(logging.ERROR)
        inputs = nncf.Dataset([to_levels(image[None]) for image in images])
        return nncf.quantize(model, inputs, subset_size=len(images))
