"""Between the requests and the worker process: a bounded queue, batches, and a new worker when one dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unpaired.serve.limits import MIB, Limits
from unpaired.serve.metrics import Metrics
from unpaired.serve.wire import packed, receive

ATTEMPTS = 2
"""A request is given to this many workers; one that two died on is likely what killed them."""
BATCH_WAIT = 0.004
"""Seconds in which a request waits for others to join it."""
LONGEST_PAUSE = 10.0
"""Seconds at most between two attempts to start a worker."""
START_TIMEOUT = 300.0
"""Seconds in which a worker must have loaded and tried its models."""


@dataclass(frozen=True)
class Reply:
    """What became of a request."""

    status: int
    body: bytes = b""
    media_type: str = ""
    detail: str = ""
    seconds: float = 0.0


@dataclass(eq=False)
class Job:
    """An accepted request; its reply is always set, or its client has left."""

    model: str
    direction: str | None
    suffix: str | None
    data: bytes
    scale: str
    reply: asyncio.Future[Reply] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    attempts: int = 0

    def answer(self, reply: Reply) -> None:
        """Set the reply, unless nobody waits for it any more."""
        if not self.reply.done():
            self.reply.set_result(reply)


class Busy(Exception):
    """No room for another request; come back after so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many requests are waiting; come back in {seconds} s")
        self.seconds = seconds


class Dispatcher:
    """Owns the worker process and the queue in front of it."""

    def __init__(self, paths: Mapping[str, Path], limits: Limits, metrics: Metrics) -> None:
        self.paths, self.limits, self.metrics = paths, limits, metrics
        self.models: dict[str, Any] = {}
        """What the worker reported of its models, once it was warm."""
        self.ready = False
        self.unusable = ""
        """Why the first worker refused its models."""
        self._waiting, self._arrived = deque[Job](), asyncio.Event()
        self._seconds_each = 1.0
        """An image's usual time, for Retry-After."""

    def submit(self, job: Job) -> None:
        """Put a request into the queue.

        Raises:
            Busy: the queue is full.
        """
        while self._waiting and self._waiting[0].reply.done():
            self._waiting.popleft()
        if len(self._waiting) >= self.limits.queue:
            raise Busy(min(60, math.ceil(self._seconds_each * (len(self._waiting) + 1))))
        self._waiting.append(job)
        self._noticed()

    async def run(self) -> None:
        """Keep a worker at work until cancelled; returns early only if the first one refuses its models."""
        for start in itertools.count():
            began = time.monotonic()
            process = await self._launch()
            try:
                await self._employ(process)
            finally:
                self._set_ready(False)
                await _end(process)
            if self.unusable:
                return
            self.metrics.restarts.inc()
            pause = 0.0 if time.monotonic() - began > LONGEST_PAUSE else min(LONGEST_PAUSE, 0.25 * 2 ** min(start, 6))
            print(f"unpaired: the worker has gone (exit {process.returncode}); starting another", file=sys.stderr)
            await asyncio.sleep(pause)

    async def _launch(self) -> asyncio.subprocess.Process:
        settings = asdict(self.limits) | {"models": {name: str(path) for name, path in self.paths.items()}}
        settings |= {"memory": int(self.limits.memory_gb * 1e9), "held": self.limits.held_bytes}
        command = [sys.executable, "-m", "unpaired.serve.worker", json.dumps(settings)]
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=MIB)

    async def _employ(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the worker to be warm, then hand it batches until it goes."""
        assert process.stdout
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        reading = asyncio.create_task(_read_all(process.stdout, inbox))
        try:
            hello = await _within(inbox.get(), START_TIMEOUT)
            if hello is None or "unusable" in hello[0]:
                if hello and not self.models:  # after the first start: the files changed; they may come back
                    self.unusable = hello[0]["unusable"]
                return
            self.models = hello[0]["models"]
            self._set_ready(True)
            while batch := await self._next_batch(reading):
                if not await self._work(process, inbox, batch):
                    return
        finally:
            reading.cancel()

    async def _next_batch(self, reading: asyncio.Task[None]) -> list[Job]:
        """Requests to work on now; none if the worker goes while there is nothing to do."""
        while True:
            arrived = asyncio.create_task(self._arrived.wait())
            await asyncio.wait({arrived, reading}, return_when=asyncio.FIRST_COMPLETED)
            arrived.cancel()
            if reading.done():
                return []
            if len(self._waiting) < self.limits.batch:
                await asyncio.sleep(BATCH_WAIT)
            if batch := self._take():
                return batch

    def _take(self) -> list[Job]:
        """The oldest requests; one that a worker died on goes alone."""
        batch: list[Job] = []
        while self._waiting and len(batch) < self.limits.batch:
            if self._waiting[0].reply.done():  # its client left, or its time is over
                self._waiting.popleft()
            elif not self._waiting[0].attempts:
                batch.append(self._waiting.popleft())
            else:
                batch += [] if batch else [self._waiting.popleft()]
                break
        self._noticed()
        return batch

    async def _work(self, process: asyncio.subprocess.Process, inbox: asyncio.Queue[Any], batch: list[Job]) -> bool:
        """Have a batch translated; False if the worker went or hung, its unanswered requests then wait again."""
        self.metrics.batch.observe(len(batch))
        open_jobs, began = dict(enumerate(batch)), time.monotonic()
        try:
            await _within(_send(process, batch), self.limits.timeout)
            while message := await _within(inbox.get(), self.limits.timeout):
                head, body = message
                if "done" in head:
                    self._seconds_each += 0.3 * ((time.monotonic() - began) / len(batch) - self._seconds_each)
                    return True
                self._answer(open_jobs.pop(head["id"]), head, body)
            return False
        finally:
            self._again(list(open_jobs.values()))

    def _answer(self, job: Job, head: dict[str, Any], body: bytes) -> None:
        seconds = head.get("seconds", 0.0)
        if head["status"] == 200:
            self.metrics.images.labels(job.model).inc()
            self.metrics.inference.labels(job.model).observe(seconds)
        job.answer(Reply(head["status"], body, head.get("type", ""), head.get("detail", ""), seconds))

    def _again(self, jobs: list[Job]) -> None:
        """To the front of the queue, in their order; those that had their attempts are told so."""
        for job in reversed(jobs):
            job.attempts += 1
            if job.attempts < ATTEMPTS:
                self._waiting.appendleft(job)
                self.metrics.retries.inc()
            else:
                job.answer(Reply(503, detail=f"{ATTEMPTS} workers ended while they translated this image"))
        self._noticed()

    def _noticed(self) -> None:
        self.metrics.waiting.set(len(self._waiting))
        self._arrived.set() if self._waiting else self._arrived.clear()

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready
        self.metrics.ready.set(ready)


async def _send(process: asyncio.subprocess.Process, batch: list[Job]) -> None:
    assert process.stdin
    names = ("model", "direction", "suffix", "scale")
    tasks = [{name: getattr(job, name) for name in names} | {"size": len(job.data)} for job in batch]
    tasks = [task | {"id": number} for number, task in enumerate(tasks)]
    with contextlib.suppress(ConnectionError):  # the inbox will tell
        process.stdin.write(packed({"tasks": tasks}, b"".join(job.data for job in batch)))
        await process.stdin.drain()


async def _read_all(stream: asyncio.StreamReader, inbox: asyncio.Queue[Any]) -> None:
    """Every message into the inbox, None last."""
    while message := await receive(stream):
        inbox.put_nowait(message)
    inbox.put_nowait(None)


async def _within(waiting: Any, seconds: float) -> Any:
    """The result, or None when it takes too long."""
    try:
        return await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a worker that may be hanging: nobody waits for its answers any more."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
