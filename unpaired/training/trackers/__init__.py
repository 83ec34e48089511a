"""Experiment trackers (W&B, trackio, MLflow) beside a run's own files, which are always written.

Each tracker runs in a separate process, fed through a bounded queue. One that is slow, unreachable, hangs or dies
costs one warning and never a step. Its output goes to `trackers.log` in the run's folder.
"""

from __future__ import annotations

import importlib.util
import json
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from unpaired.core.errors import BadInput
from unpaired.core.files import write_text

NAMES = ("wandb", "trackio", "mlflow")
WAITING = 200
"""Messages queued for a tracker that is slower than the run; further ones are dropped."""
PATIENCE = 8.0
"""Seconds that all trackers together may take to finish."""
LOG, IDENTITY = "trackers.log", "tracking.json"


class Trackers:
    """The trackers of one run."""

    def __init__(self, names: str, run: Path, project: str, settings: Mapping[str, Any]) -> None:
        """Start a process for each of `names`, separated by commas; none for an empty text. Raises as `required`."""
        wanted = required(names)
        start = {"project": project, "run": str(run), "id": _identity(run) if wanted else "", "settings": settings}
        self.all = [_Tracker(name, run / LOG, start) for name in wanted]

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after a step; returns at once."""
        self._send({"step": step, "values": dict(values)})

    def image(self, step: int, name: str, path: Path) -> None:
        """An image on disk after a step; returns at once."""
        self._send({"step": step, "image": str(path), "name": name})

    def close(self) -> None:
        """Wait for them to finish, then end those that do not."""
        until = time.monotonic() + PATIENCE
        for tracker in self.all:
            tracker.close(until)

    def _send(self, line: dict[str, Any]) -> None:
        for tracker in self.all:
            tracker.send(line)


class _Tracker:
    def __init__(self, name: str, log: Path, start: dict[str, Any]) -> None:
        self.name, self.log, self.warned = name, log, False
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        command = [sys.executable, "-m", "unpaired.training.trackers", name]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        self.feeder = threading.Thread(target=self._feed, name=f"tracker-{name}", daemon=True)
        self.feeder.start()
        self.send(start)

    def send(self, line: dict[str, Any]) -> None:
        if self.process.poll() is not None:
            self._warn("has stopped")
            return
        try:
            self.lines.put_nowait(line)
        except queue.Full:
            self._warn("does not keep up; some of its lines are dropped")

    def close(self, until: float) -> None:
        """Ask it to finish; kill it at the time `until` of the monotonic clock."""
        try:
            self.lines.put(None, timeout=max(0.0, until - time.monotonic()))
            code = self.process.wait(timeout=max(0.0, until - time.monotonic()))
            if code:
                self._warn("has stopped")
        except (queue.Full, subprocess.TimeoutExpired):
            self._warn("did not finish in time and was ended")
            self.process.kill()
            self.process.wait()
        self.feeder.join(timeout=1)

    def _feed(self) -> None:
        pipe = self.process.stdin
        assert pipe is not None
        try:
            while (line := self.lines.get()) is not None:
                pipe.write(json.dumps(line).encode() + b"\n")
                pipe.flush()
        except OSError:  # it died, which the next message or the end reports
            pass
        finally:
            with suppress(OSError):
                pipe.close()

    def _warn(self, words: str) -> None:
        if not self.warned:
            print(f"{self.name} {words}; the run continues without it ({self.log})", file=sys.stderr, flush=True)
        self.warned = True


def required(names: str) -> list[str]:
    """The trackers in `names`, all installed; raises BadInput for an unknown one, or one whose package is missing."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise BadInput(f"runtime.trackers: {', '.join(unknown)} is none of {', '.join(NAMES)}")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        extras = ",".join(missing)
        raise BadInput(f"runtime.trackers: {', '.join(missing)} is not installed; pip install 'unpaired[{extras}]'")
    return wanted


def _identity(run: Path) -> str:
    """The run's name at every tracker; the same after a resume."""
    path = run / IDENTITY
    if path.is_file():
        return str(json.loads(path.read_text(encoding="utf-8"))["id"])
    name = f"{run.resolve().name}-{secrets.token_hex(4)}"
    write_text(path, json.dumps({"id": name}) + "\n")
    return name
