"""Event files for TensorBoard, written synchronously: no thread, no queue, no timeout that follows the wall clock."""

from __future__ import annotations

import struct
import time
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import image, scalar

from unpaired.imaging.images import Pixels


class EventFile:
    """One event file in a run's `tensorboard` folder."""

    def __init__(self, folder: Path, start: int = 0) -> None:
        """Open a new file; TensorBoard then ignores what earlier files hold of the steps after `start`."""
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob("*.tfevents.*")))  # TensorBoard reads files in the order of their names
        self.file = (folder / f"events.out.tfevents.{number:08d}").open("xb")
        self._write(Event(file_version="brain.Event:2"))
        if start:
            self._write(Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, step: int, name: str, value: float) -> None:
        """Add a number."""
        self._write(Event(step=step, summary=scalar(name, value)))

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Add an (h, w, 3) image of uint8."""
        self._write(Event(step=step, summary=image(name, pixels, dataformats="HWC")))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        content = event.SerializeToString()
        size = struct.pack("<Q", len(content))
        for piece in (size, content):
            self.file.write(piece + struct.pack("<I", masked_crc32c(piece)))
        self.file.flush()
