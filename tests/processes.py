"""Several processes of one training, as torchrun would start them, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start(command: list[str], processes: int = 2) -> list[subprocess.Popen[str]]:
    """The command in each of `processes` processes that know of one another."""
    common = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def end(processes: list[subprocess.Popen[str]], timeout: float = 120) -> list[tuple[int, str]]:
    """Exit code and output of each; none is left running."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
        return [(process.returncode, out + err) for process, (out, err) in zip(processes, said, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
