"""`study serve`: a study on the web until it is stopped; it can be stopped and served again at any time."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from unpaired.serve.guard import Guard
from unpaired.serve.metrics import Metrics
from unpaired.serve.run import Server, names_of, serve_until_stopped
from unpaired.serve.study.ledger import open_ledger
from unpaired.serve.study.prepare import open_study
from unpaired.serve.study.web import build_study_app

GRACE = 5.0
"""Seconds to finish answers that are being kept."""


def serve_study(folder: Path, host: str, port: int, hosts: Sequence[str]) -> None:
    """Serve a study's page until SIGTERM or Ctrl-C; arguments as of `unpaired study serve`.

    Raises:
        BadInput: not a study, served already, or an address that cannot be used.
    """
    study, key = open_study(folder), secrets.token_urlsafe(16)

    async def announce(server: Server) -> None:
        url = server.url
        print(f"unpaired: study on {url} (participants may bring a code: {url}?code=CODE)", file=sys.stderr)
        print(f"unpaired: results, for you alone, on {url}results?key={key}", file=sys.stderr)

    with open_ledger(folder, study) as ledger:
        app = build_study_app(folder, ledger, key)
        guard = Guard(app, Metrics(), hosts=names_of(host, hosts), work=frozenset({"/session", "/answer"}))
        serve_until_stopped(guard, host, port, GRACE, announce)
