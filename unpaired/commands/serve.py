"""Models behind HTTP, for programs and for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction

from unpaired.core.errors import BadInput


def serve(
    models: Annotated[tuple[str, ...], Positional],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    hosts: Annotated[tuple[str, ...], UseAppendAction] = (),
    max_mib: int = 32,
    max_pixels: int = 16_777_216,
    queue: int = 32,
    batch: int = 8,
    timeout: float = 120.0,
    grace: float = 30.0,
    exact: bool = True,
) -> None:
    """An HTTP API and a web page that translate images with one or more models.

    Args:
        models: Runs' folders or bundles, each as PATH or NAME=PATH.
        host: Address to listen on; 127.0.0.1 is reached from this machine only.
        port: TCP port; 0 takes a free one.
        token_file: File whose only line clients must send as bearer token; else the variable UNPAIRED_TOKEN, if set.
        hosts: Name that clients use for this server, where not this machine's own (behind a proxy); may be repeated.
        max_mib: Largest request in MiB.
        max_pixels: Largest image, height times width.
        queue: Requests that may wait; the next is answered 503.
        batch: Images handed to the worker at once.
        timeout: Seconds from a request's first byte to its answer.
        grace: Seconds that accepted requests have to finish once the server is asked to stop.
        exact: Join images only where that changes no bit; --no-exact joins all of one size (for GPUs).
    """
    try:
        from unpaired.serve.limits import MIB, Limits
        from unpaired.serve.run import serve as run
    except ModuleNotFoundError as error:
        raise BadInput(f"serve: needs {error.name}; pip install 'unpaired[serve]'") from error
    limits = Limits(
        max_bytes=max_mib * MIB,
        max_pixels=max_pixels,
        queue=queue,
        batch=batch,
        timeout=timeout,
        grace=grace,
        exact=exact,
    )
    run(models, host, port, limits, token_file, hosts)
