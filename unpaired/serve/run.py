"""`serve`: the server from its first line to its last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    models: Sequence[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    token_file: Path | None = None,
    hosts: Sequence[str] = (),
) -> None:
    """Serve models until SIGTERM or Ctrl-C, then finish the accepted requests.

    Args:
        models: Runs' folders or bundles, each as PATH or NAME=PATH.
        host: Address to listen on; 127.0.0.1 is reached from this machine only.
        port: TCP port; 0 takes a free one.
        limits: Bounds of requests.
        token_file: Its first line is asked for as a bearer token; else the variable UNPAIRED_TOKEN, if set.
        hosts: Names that clients use for this server, where not those of this machine itself.

    Raises:
        BadInput: models, a token or an address that cannot be used.
    """
    limits, metrics = limits or Limits(), Metrics()
    dispatcher = Dispatcher(named_models(models), limits, metrics)
    token = read_token(token_file)
    guard = Guard(build_app(dispatcher, limits, metrics), metrics, token, names_of(host, hosts))
    with listening(host, port) as listener:
        said = _Said(dispatcher, url_of(listener), open_to_all=not (token or host in LOCAL))
        asyncio.run(serve_until_stopped(guard, limits.grace, listener, said))
    if dispatcher.unusable:
        raise BadInput(dispatcher.unusable)


async def serve_until_stopped(guard: Guard, grace: float, listener: socket.socket, say: Say) -> None:
    """Answer requests until asked to stop and drained.

    Args:
        guard: The app.
        grace: Seconds that accepted requests have to finish.
        listener: Where requests come in.
        say: Told the server; says where it is, and may stop it.
    """
    server = Server(uvicorn_config(guard), guard, grace)
    saying = asyncio.ensure_future(say(server))
    await server.serve([listener])
    saying.cancel()
    print("unpaired: stopped", file=sys.stderr, flush=True)


def url_of(listener: socket.socket) -> str:
    """The address of a socket for a browser."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def names_of(host: str, hosts: Sequence[str]) -> frozenset[str]:
    """The names to answer to: those given, and this machine's own where only it is listened to; empty for any."""
    given = frozenset(name.lower() for name in hosts)
    return given | LOOPBACK if given or host in LOCAL else given


def uvicorn_config(app: Guard) -> uvicorn.Config:
    """No server name, no access log, no websockets, no trust in forwarded headers; bounded headers and idleness."""
    return uvicorn.Config(
        app,
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


class Server(uvicorn.Server):
    """Uvicorn, but asked to stop it first refuses new work and finishes what it has accepted."""

    def __init__(self, config: uvicorn.Config, guard: Guard, grace: float) -> None:
        super().__init__(config)
        self.guard, self.grace = guard, grace
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


Say = Callable[[Server], Awaitable[None]]


@dataclass(frozen=True)
class _Said:
    """Says on stderr where the server is and when it is ready; stops it if its models cannot be used."""

    dispatcher: Dispatcher
    url: str
    open_to_all: bool

    async def __call__(self, server: Server) -> None:
        names = ", ".join(self.dispatcher.paths)
        print(f"unpaired: serving {names} on {self.url} (Ctrl-C stops)", file=sys.stderr, flush=True)
        if self.open_to_all:
            print(
                "unpaired: anyone who reaches this address may use it; --token-file asks for a token", file=sys.stderr
            )
        while not self.dispatcher.ready and not self.dispatcher.unusable:
            await asyncio.sleep(0.05)
        if self.dispatcher.unusable:
            server.should_exit = True
        else:
            print("unpaired: ready", file=sys.stderr, flush=True)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket on the address.

    Raises:
        BadInput: the address is taken, not allowed, or not this machine's.
    """
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
    if path is None:
        token, source = os.environ.get(TOKEN, ""), TOKEN
        if not token:
            return ""
    else:
        try:
            token, source = path.read_text(encoding="ascii").strip(), str(path)
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: cannot be read as a token ({error})") from error
    if len(token) < 16 or not token.isprintable() or " " in token:
        raise BadInput(f"{source}: expected a token of 16 or more printable characters without spaces")
    return token
