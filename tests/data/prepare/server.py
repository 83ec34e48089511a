"""A real HTTP server on this machine that misbehaves as told, one behaviour for each request."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.ranges.append(self.headers.get("Range"))
        server.paths.append(self.path)
        behave = server.script.pop(0) if server.script else server.otherwise
        behave(self, server.content)

    def log_message(self, format: str, *args: object) -> None:
        pass


Behaviour = Callable[[Handler, bytes], None]


class Server(ThreadingHTTPServer):
    """Requests follow `script`, then `otherwise`; `ranges` and `paths` hold what was asked for."""

    daemon_threads = True

    def __init__(self, content: bytes, script: list[Behaviour], otherwise: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.script, self.otherwise = content, script, otherwise
        self.ranges: list[str | None] = []
        self.paths: list[str] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the play."""


@contextmanager
def serving(content: bytes, *script: Behaviour, otherwise: Behaviour | None = None) -> Iterator[Server]:
    server = Server(content, list(script), otherwise or good)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def good(handler: Handler, content: bytes) -> None:
    """Whole files and ranges, as a server should."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    if asked and start >= len(content):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if asked else 200)
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start:])


def no_ranges(handler: Handler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def truncated_at(size: int) -> Behaviour:
    """The whole length promised, `size` bytes sent, ranges ignored."""

    def behave(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:size])

    return behave


def stalls_after(size: int, seconds: float) -> Behaviour:
    def behave(handler: Handler, content: bytes) -> None:
        truncated_at(size)(handler, content)
        handler.wfile.flush()
        time.sleep(seconds)

    return behave


def trickles(piece: int, seconds: float) -> Behaviour:
    """The whole file, a piece at a time."""

    def behave(handler: Handler, content: bytes) -> None:
        truncated_at(0)(handler, content)
        for start in range(0, len(content), piece):
            handler.wfile.write(content[start : start + piece])
            handler.wfile.flush()
            time.sleep(seconds)

    return behave


def endless(handler: Handler, content: bytes) -> None:
    """No length, ever more bytes."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(content)


def status(code: int) -> Behaviour:
    def behave(handler: Handler, _: bytes) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def redirect_to(url: str) -> Behaviour:
    def behave(handler: Handler, _: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave
