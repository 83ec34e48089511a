"""`serve`: the server from its first line to its last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from unpaired.core.errors import BadInput
from unpaired.serve.dispatcher import Dispatcher
from unpaired.serve.guard import LOOPBACK, Guard
from unpaired.serve.limits import Limits
from unpaired.serve.metrics import Metrics
from unpaired.serve.names import named_models
from unpaired.serve.protocol import HeaderTimeoutProtocol
from unpaired.serve.web import build_app

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
"""Addresses that are reached from this machine only."""
TOKEN = "UNPAIRED_TOKEN"
"""The environment variable that may hold the bearer token."""


def serve(
    models: Sequence[str], host: str, port: int, limits: Limits, token_file: Path | None, hosts: Sequence[str]
) -> None:
    """Serve models until SIGTERM or Ctrl-C, then finish the accepted requests; arguments as of `unpaired serve`.

    Raises:
        BadInput: models, a token or an address that cannot be used.
    """
    metrics, token = Metrics(), read_token(token_file)
    dispatcher = Dispatcher(named_models(models), limits, metrics)
    guard = Guard(build_app(dispatcher, limits, metrics), metrics, token, names_of(host, hosts))

    async def announce(server: Server) -> None:
        """Print where the server is and when it is ready; stop it if its models cannot be used."""
        print(f"unpaired: serving {', '.join(dispatcher.paths)} on {server.url} (Ctrl-C stops)", file=sys.stderr)
        if not token and host not in LOCAL:
            notice = "unpaired: anyone who reaches this address may use it; --token-file asks for a token"
            print(notice, file=sys.stderr)
        while not dispatcher.ready and not dispatcher.unusable:
            await asyncio.sleep(0.05)
        if dispatcher.unusable:
            server.should_exit = True
        else:
            print("unpaired: ready", file=sys.stderr)

    serve_until_stopped(guard, host, port, limits.grace, announce)
    if dispatcher.unusable:
        raise BadInput(dispatcher.unusable)


def serve_until_stopped(
    guard: Guard, host: str, port: int, grace: float, announce: Callable[[Server], Coroutine[Any, Any, None]]
) -> None:
    """Answer requests on an address until asked to stop and drained; port 0 takes a free one.

    Accepted requests have `grace` seconds to finish. `announce` is called with the server once it listens.

    Raises:
        BadInput: the address is taken, not allowed, or not this machine's.
    """

    async def answer(listener: socket.socket) -> None:
        server = Server(guard, listener, grace)
        announcing = asyncio.create_task(announce(server))
        await server.serve([listener])
        announcing.cancel()

    with _listening(host, port) as listener:
        asyncio.run(answer(listener))
    print("unpaired: stopped", file=sys.stderr)


def names_of(host: str, hosts: Sequence[str]) -> frozenset[str]:
    """The names to answer to: those given, and this machine's own where only it is listened to; empty for any."""
    given = frozenset(name.lower() for name in hosts)
    return given | LOOPBACK if given or host in LOCAL else given


class Server(uvicorn.Server):
    """Uvicorn, but asked to stop it first refuses new work and finishes what it has accepted.

    No server name, access log, websockets or trust in forwarded headers; bounded headers and idleness.
    """

    def __init__(self, guard: Guard, listener: socket.socket, grace: float) -> None:
        config = uvicorn.Config(
            guard,
            http=HeaderTimeoutProtocol,
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=1,  # beyond the grace that draining had
            h11_max_incomplete_event_size=16 * 1024,
            limit_concurrency=1024,
            backlog=1024,
        )
        super().__init__(config)
        self.guard, self.grace = guard, grace
        address, port = listener.getsockname()[:2]
        self.url = f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
        """The address for a browser."""
        self.drained: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C drain; a second one ends at once."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ask_to_stop)
        yield

    def ask_to_stop(self) -> None:
        """Begin to drain, or stop at once if asked again."""
        if self.guard.draining:
            self.should_exit = self.force_exit = True
            return
        self.guard.draining = True
        print(f"unpaired: stopping after {self.guard.working} accepted requests", file=sys.stderr, flush=True)
        self.drained = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        """Go on listening meanwhile: a new request gets an answer, not a refused connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.grace):
                while self.guard.working:
                    await asyncio.sleep(0.02)
        self.should_exit = True


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    if not 0 <= port < 2**16:
        raise BadInput(f"--port: expected 0 to {2**16 - 1}, found {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{host}:{port}: cannot be listened on ({reason}); choose another --port or --host") from error
    with listener:
        yield listener


def read_token(path: Path | None) -> str:
    """The bearer token: the file's only line, or the environment's; empty if neither is given.

    Raises:
        BadInput: a file that cannot be read, or a token too short to keep anyone out.
    """
    token, source = os.environ.get(TOKEN, ""), TOKEN
    if path is not None:
        try:
            token, source = path.read_text(encoding="ascii").strip(), str(path)
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: cannot be read as a token ({error})") from error
    elif not token:
        return ""
    if len(token) < 16 or not token.isprintable() or " " in token:
        raise BadInput(f"{source}: expected a token of 16 or more printable characters without spaces")
    return token
