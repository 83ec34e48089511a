"""Models behind HTTP, for programs and for people."""

from __future__ import annotations

from unpaired.commands.arguments import File
from unpaired.core.errors import BadInput


def serve(
    models: tuple[str, ...] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: File | None = None,
    hosts: tuple[str, ...] = (),
    max_mib: int = 32,
    max_pixels: int = 16_777_216,
    memory_gb: float = 0.0,
    queue: int = 32,
    batch: int = 8,
    timeout: float = 120.0,
    grace: float = 30.0,
    device: str = "auto",
    exact: bool = True,
) -> None:
    """Serve models as an HTTP API and a web page.

    Args:
        models: Runs' folders, bundles or names (`unpaired models`), each as MODEL or NAME=MODEL; without any, all that
            come with unpaired.
        host: Address to listen on; 127.0.0.1 is reached from this machine only.
        port: TCP port; 0 takes a free one.
        token_file: File whose only line clients send as bearer token; without it the variable UNPAIRED_TOKEN, if set.
        hosts: Further name of this server, e.g. behind a proxy; may be repeated.
        max_mib: Largest request in MiB.
        max_pixels: Largest image, height times width.
        memory_gb: Gigabytes that a translation may take; larger images get 413. 0: half of the free memory.
        queue: Requests that may wait; further ones get 503.
        batch: Images in a batch of the worker.
        timeout: Seconds from a request's first byte to its answer.
        grace: Seconds for accepted requests to finish after a signal to stop.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.
        exact: Batch images of one padded size even where that changes bits (for GPUs).

    Example:
        unpaired serve runs/mine
    """
    try:
        from unpaired.serve.limits import MIB, Limits
        from unpaired.serve.run import serve as run
    except ModuleNotFoundError as error:
        raise BadInput(f"serve: needs {error.name}; pip install 'unpaired[serve]'") from error
    bounds = {
        "max_bytes": max_mib * MIB,
        "max_pixels": max_pixels,
        "memory_gb": memory_gb,
        "queue": queue,
        "batch": batch,
    }
    limits = Limits(**bounds, timeout=timeout, grace=grace, exact=exact, device=device)
    run(models, host, port, limits, token_file, hosts)
