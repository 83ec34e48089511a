"""`study serve`: a study on the web until it is stopped; it can be stopped and served again at any time."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from unpaired.serve.guard import Guard
from unpaired.serve.metrics import Metrics
from unpaired.serve.run import Server, listening, names_of, serve_until_stopped, url_of
from unpaired.serve.study.ledger import open_ledger
from unpaired.serve.study.prepare import open_study
from unpaired.serve.study.web import build_study_app

GRACE = 5.0
"""Seconds to finish answers that are being kept."""


def serve_study(folder: Path, host: str = "127.0.0.1", port: int = 8000, hosts: Sequence[str] = ()) -> None:
    """Serve a study's page until SIGTERM or Ctrl-C.

    Args:
        folder: Made by `prepare_study`.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        hosts: Names that participants use for this server, where not those of this machine itself.

    Raises:
        BadInput: not a study, served already, or an address that cannot be used.
    """
    study, key = open_study(folder), secrets.token_urlsafe(16)
    with open_ledger(Path(folder), study) as ledger, listening(host, port) as listener:
        app = build_study_app(Path(folder), ledger, key)
        guard = Guard(app, Metrics(), hosts=names_of(host, hosts), work=frozenset({"/session", "/answer"}))

        async def say(_server: Server) -> None:
            url = url_of(listener)
            print(f"unpaired: study on {url} (participants may bring a code: {url}?code=CODE)", file=sys.stderr)
            print(f"unpaired: results, for you alone, on {url}results?key={key}", file=sys.stderr, flush=True)

        asyncio.run(serve_until_stopped(guard, GRACE, listener, say))
