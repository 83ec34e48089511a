"""A server as users start it: its own process, its own worker, a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psutil

PATIENCE = 60.0
"""Seconds; this machine may have other things to do."""


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str
    said: list[str] = field(default_factory=list)

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=3 * PATIENCE, trust_env=False, **options)

    def post(self, data, query="", **options) -> httpx.Response:
        with self.client() as client:
            return client.post(f"/translate{query}", content=data, **options)

    def get(self, path, **options) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)

    @property
    def worker(self) -> psutil.Process:
        (worker,) = psutil.Process(self.process.pid).children()
        return worker

    def wait_ready(self, seconds=PATIENCE) -> float:
        """Seconds until /health/ready says so."""
        return waited(lambda: self.get("/health/ready").status_code == 200, seconds)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def waited(true, seconds=PATIENCE) -> float:
    """Seconds until `true()`; fails after `seconds`."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"not so after {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - begun


@contextmanager
def server(*args: object, ready: bool = True, command: str = "serve", **environment: str) -> Iterator[Running]:
    line = [sys.executable, "-m", "unpaired", *command.split(), *map(str, args), "--port", "0"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
    running = Running(process, "")
    listener = threading.Thread(target=_listen, args=(process, running.said))
    listener.start()
    try:
        waited(lambda: any("http://" in line for line in running.said) or process.poll() is not None)
        found = re.search(r"http://[^/ ]+", " ".join(running.said))
        assert found, running.said
        running.url = found[0]
        if ready:
            running.wait_ready()
        yield running
    finally:
        if process.poll() is None:
            left = psutil.Process(process.pid).children()  # a test that failed may have left the worker suspended
            for each in (process, *left):
                each.kill()
        process.wait()
        listener.join()


def _listen(process, said) -> None:
    for line in process.stderr:
        said.append(line.rstrip())
    process.stderr.close()
