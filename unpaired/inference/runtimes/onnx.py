"""ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.core.errors import BadInput
from unpaired.imaging.images import Array
from unpaired.inference.runtimes.facts import IMAGE, KEY, TRANSLATION, Described, Facts, onnx_content, through

ERRORS_ONLY = 3
"""ONNX Runtime's log level: its remarks on graphs are for their makers."""


@dataclass(frozen=True)
class OnnxRuntime(Described):
    """A session on the CPU."""

    engine = "onnx"
    session: Any
    facts: Facts

    @classmethod
    def open(cls, path: Path) -> OnnxRuntime:
        """Load a file of `unpaired export --format onnx`.

        Raises:
            BadInput: ONNX Runtime is not installed, or the file is damaged or not ours.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise BadInput(f"{path}: needs ONNX Runtime; pip install 'unpaired[export]' or onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        content = onnx_content(path)
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base of their own
            raise BadInput(f"{path}: not a readable ONNX model ({' '.join(str(error).split())[:300]})") from error
        facts = Facts.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), str(path))
        return cls(session, facts)

    def __call__(self, images: Array) -> Array:
        """(b, channels_in, h, w) to (b, channels_out, h, w), both in [-1, 1]."""
        return through(lambda levels: self.session.run([TRANSLATION], {IMAGE: levels})[0], images, self.facts)
