"""HTTP/1.1 as uvicorn speaks it, with a bound on how long a client may take to send its headers."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_TIMEOUT = 10.0
"""Seconds from a connection, or from a request's first byte, to the end of its headers."""


class HeaderTimeoutProtocol(H11Protocol):
    """Closes connections that send nothing, or their headers byte by byte, which uvicorn would keep for ever."""

    waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.waiting = self.loop.call_later(HEADERS_TIMEOUT, self.give_up)

    def data_received(self, data: bytes) -> None:
        """Stop waiting once a request's headers are complete, begin again with the next request's first byte."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif not self.waiting:
            self.waiting = self.loop.call_later(HEADERS_TIMEOUT, self.give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Close a connection that is still without a request."""
        self.waiting = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self.waiting:
            self.waiting.cancel()
            self.waiting = None
