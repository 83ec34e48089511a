"""What every request passes and every answer gets: who may ask, from where, and the headers that bind a browser."""

from __future__ import annotations

import asyncio
import hmac
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unpaired.serve.metrics import Metrics

OPEN = frozenset({"/", "/page.css", "/page.js", "/openapi.json", "/health/live", "/health/ready"})
"""Paths that need no token: they tell nothing of the models' work."""
WORK = frozenset({"/translate"})
KNOWN = OPEN | WORK | {"/models", "/metrics"}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


@dataclass
class Guard:
    """Wraps the app; refuses what must not reach it."""

    app: ASGIApp
    metrics: Metrics
    token: str = ""
    """Asked for as `Authorization: Bearer`; empty asks for none."""
    hosts: frozenset[str] = field(default_factory=frozenset)
    """Names it answers to; empty means any. Else a page of another site, by a name that it points to this address,
    could talk to a server that only this machine is meant to reach."""
    work: frozenset[str] = WORK
    """Paths whose requests are waited for before the server ends."""
    draining: bool = False
    working: int = 0
    """Accepted requests not yet answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun, path = time.perf_counter(), scope["path"]
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        app = self._refusal(path, Headers(scope=scope)) or self.app
        works = app is self.app and path in self.work
        self.working += works
        try:
            await app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # the time to finish is over
            if status is None:
                late = refusal(503, "the server has stopped before this was done", {"Connection": "close"})
                await late(scope, receive, send_with_headers)
        finally:
            self.working -= works
            label = path if path in KNOWN else "other"
            self.metrics.requests.labels(label, str(status or 499)).inc()
            self.metrics.seconds.labels(label).observe(time.perf_counter() - begun)

    def _refusal(self, path: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self.hosts and name.lower() not in self.hosts:
            return refusal(421, "this server does not go by that name; start it with --hosts NAME")
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            return refusal(403, "requests from pages of other sites are refused")
        if self.draining and path != "/health/live":
            return refusal(503, "the server is stopping", {"Connection": "close", "Retry-After": "5"})
        if self.token and path not in OPEN and not self._knows_token(headers.get("authorization", "")):
            return refusal(401, "expected the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        return None

    def _knows_token(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.token.encode())


def refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error in the one form that all have: {"detail": one line}."""
    return JSONResponse({"detail": detail}, status, headers)
