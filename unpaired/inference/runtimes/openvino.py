"""OpenVINO, the fastest on most CPUs."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Array
from unpaired.inference.runtimes import Exported, Facts, Precision
from unpaired.inference.runtimes.facts import KEY, onnx_content, through

ARITHMETIC: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's name of what the layers that are not quantised compute in; left alone it would choose by the chip."""

PLACES = ([KEY], ["framework", KEY])
"""Where the facts stand in OpenVINO's own files, and in what it reads of an ONNX file."""


@cache
def only(core: type) -> Any:
    """The one `openvino.Core` of this process; it never goes.

    Its CPU plug-in gives the thread that loads it a stack for signal handlers, and unmaps it when the core and all that
    it compiled are gone, in whichever thread that happens. In the first one the next signal is a segmentation fault.
    """
    return core()


class OpenVinoRuntime(Exported):
    """A model compiled for the CPU."""

    def __init__(self, compiled: Any, facts: Facts) -> None:
        super().__init__("openvino", facts)
        self.compiled, self.local = compiled, threading.local()  # one request serves one thread at a time

    @classmethod
    def open(cls, path: Path) -> OpenVinoRuntime:
        """Load an exported .xml (with .bin) or .onnx; BadInput without OpenVINO or for a damaged or foreign file."""
        try:
            import openvino
        except ImportError as error:
            raise BadInput(f"{path}: needs OpenVINO; pip install 'unpaired[openvino]' or openvino") from error
        core = only(openvino.Core)
        try:
            model = core.read_model(onnx_content(path) if path.suffix.lower() == ".onnx" else path)
            place = next((each for each in PLACES if model.has_rt_info(each)), None)
            text = model.get_rt_info(place).astype(str) if place else None
            facts = Facts.from_json(text, str(path))
            compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": ARITHMETIC[facts.precision]})
        except RuntimeError as error:
            raise BadInput(f"{path}: not a readable OpenVINO model ({' '.join(str(error).split())[:300]})") from error
        return cls(compiled, facts)

    def __call__(self, images: Array) -> Array:
        """(b, channels_in, h, w) to (b, channels_out, h, w), both in [-1, 1]."""
        if not hasattr(self.local, "request"):
            self.local.request = self.compiled.create_infer_request()
        request = self.local.request
        return through(lambda levels: request.infer([levels], share_outputs=True)[0], images, self.facts)
