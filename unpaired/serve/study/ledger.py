"""What participants answered: one JSON object a line, only ever appended, each on the disk before it is confirmed."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from unpaired.core.errors import BadInput
from unpaired.serve.study.plan import Side, Trial, algorithm_for, trials
from unpaired.serve.study.prepare import Study

ANSWERS = "answers.jsonl"


@dataclass
class Session:
    """One participant with one algorithm."""

    code: str
    algorithm: str
    trials: list[Trial]
    choices: list[Side] = field(default_factory=list)
    """Answers so far, in the order of the trials."""

    @property
    def finished(self) -> bool:
        """All trials are answered."""
        return len(self.choices) == len(self.trials)


class OutOfTurn(Exception):
    """An answer to a trial that is not the next one."""


class Ledger:
    """The sessions of a study, and the file they are in."""

    def __init__(self, study: Study, file: BinaryIO, sessions: dict[str, Session]) -> None:
        self.study, self.file, self.sessions = study, file, sessions

    def session(self, code: str) -> Session:
        """The participant's session, begun if there is none."""
        if code not in self.sessions:
            algorithm = algorithm_for(self.study, code, [each.algorithm for each in self.sessions.values()])
            self._append({"event": "session", "code": code, "algorithm": algorithm})
            self.sessions[code] = Session(code, algorithm, trials(self.study, algorithm, code))
        return self.sessions[code]

    def answer(self, code: str, number: int, choice: Side, **measured: float) -> Trial:
        """Record the answer to a trial, counted from 0, with times in ms; the same answer sent again changes nothing.

        Raises `KeyError` without a session of this code, `OutOfTurn` unless the trial is the next or was answered.
        """
        session = self.sessions[code]
        if number > len(session.choices) or number >= len(session.trials) or number < 0:
            raise OutOfTurn(f"expected the answer to trial {len(session.choices)}, found {number}")
        trial = session.trials[number]
        if number == len(session.choices):
            shown = {"kind": trial.kind, "left": trial.left, "right": trial.right, "real": trial.real}
            self._append({"event": "answer", "code": code, "trial": number, **shown, "choice": choice, **measured})
            session.choices.append(choice)
        return trial

    def _append(self, event: dict[str, Any]) -> None:
        """On the disk when this returns; a line that could not be written whole is taken back."""
        end = self.file.seek(0, os.SEEK_END)
        try:
            self.file.write(json.dumps(event | {"time": round(time.time(), 3)}).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError:
            self.file.truncate(end)
            raise


@contextmanager
def open_ledger(folder: Path, study: Study) -> Iterator[Ledger]:
    """The ledger of a study's folder, for one process at a time; a line cut off by a crash is dropped.

    Raises `BadInput` if another process has it open, or its lines are not those of this study.
    """
    path = folder / ANSWERS
    with path.open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{path}: another process is serving this study") from None
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        yield Ledger(study, file, _replayed(study, path, content))


def read_sessions(folder: Path, study: Study) -> list[Session]:
    """All sessions as they are now, also while they are served; `BadInput` if a line is not of this study."""
    path = folder / ANSWERS
    return list(_replayed(study, path, path.read_bytes() if path.exists() else b"").values())


def _replayed(study: Study, path: Path, content: bytes) -> dict[str, Session]:
    """The sessions by code, from the whole lines."""
    sessions: dict[str, Session] = {}
    try:
        for line in map(json.loads, content[: content.rfind(b"\n") + 1].splitlines()):
            code = line["code"]
            if line["event"] == "session":
                sessions[code] = Session(code, line["algorithm"], trials(study, line["algorithm"], code))
            else:
                sessions[code].choices.append(line["choice"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: expected one JSON object a line ({error})") from error
    return sessions
