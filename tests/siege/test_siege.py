"""The server under siege: fuzzers, twenty times the load it can bear, its worker killed, then asked to stop.

`make siege` runs 60 s of it and prints the figures; `make test` a short cut.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx
import numpy as np
import psutil
import pytest

from tests.corpus import encoded
from tests.data_sets import make_model, shapes
from tests.serve.running import Running, server, waited
from tests.siege.attacks import addresses, exchange, request, traversals

SECONDS = float(os.environ.get("SIEGE_SECONDS", "5"))
WHOLE = SECONDS >= 60
PLANNED = {503, 504}
SIDE = 256


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "one", method__generator__width=8)


@dataclass
class Seen:
    """What the besiegers saw."""

    statuses: Counter = field(default_factory=Counter)
    unplanned: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    downtimes: list[float] = field(default_factory=list)

    def answer(self, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] += 1
        if answer.status_code >= 500 and (answer.status_code not in PLANNED or "detail" not in answer.json()):
            self.unplanned.append(f"{answer.status_code} {answer.text}")


def images(number, side=SIDE):
    return [encoded(shapes("A", k).resize((side, side)), "PNG") for k in range(number)]


def overload(running: Running, seen: Seen, over: threading.Event) -> None:
    """Ask for images without a pause; a request without an answer is a request lost."""
    data = images(4)
    with running.client(limits=httpx.Limits(max_connections=1)) as client:
        while not over.is_set():
            begun = time.monotonic()
            try:
                answer = client.post("/translate", content=random.choice(data))
            except httpx.HTTPError as error:
                seen.lost.append(repr(error))
                continue
            seen.answer(answer)
            if answer.status_code == 200:
                seen.accepted.append(time.monotonic() - begun)
            else:
                time.sleep(0.2)


def fuzz(running: Running, seen: Seen, over: threading.Event, seed: int) -> None:
    """Raw bytes that are nearly requests."""
    rng, (host, port) = random.Random(seed), running.url.removeprefix("http://").split(":")
    while not over.is_set():
        for line in exchange((host, int(port)), request(rng), wait=2).splitlines():
            if line.startswith(b"HTTP/1.1 "):
                status = int(line.split()[1])
                seen.statuses[status] += 1
                if status >= 500 and status not in PLANNED:
                    seen.unplanned.append(f"raw: {line!r}")


def watch(running: Running, seen: Seen, over: threading.Event) -> None:
    with running.client() as client:
        while not over.is_set():
            begun = time.monotonic()
            assert client.get("/health/live").status_code == 200
            seen.health.append(time.monotonic() - begun)
            time.sleep(0.05)


def kill_workers(running: Running, seen: Seen, over: threading.Event) -> None:
    """Now and then; how long until the next is ready."""
    while not over.wait(min(12, SECONDS / 4)):
        running.wait_ready()
        running.worker.kill()
        begun = time.monotonic()
        waited(lambda: running.get("/health/ready").status_code == 503)
        running.wait_ready()
        seen.downtimes.append(time.monotonic() - begun)


CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
"""


def schemathesis(running: Running, folder) -> subprocess.CompletedProcess[str]:
    """Every check; the planned answers to overload are in the description and no failures."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    line = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{running.url}/openapi.json",
        "--max-time",
        f"{SECONDS:.0f}",
    ]
    # No schema can tell an image from other bytes, so the answers to valid data cannot be told from it either.
    line += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--no-shrink", "--warnings", "off"]
    line += ["--seed", "1", "--request-timeout", "180", "--continue-on-failure"]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True)


def rate(running: Running, number: int) -> float:
    """Images a second, asked for as fast as they are answered."""
    data = images(4)
    begun = time.monotonic()
    with running.client() as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda k: client.post("/translate", content=data[k % 4]), range(number)))
    assert {answer.status_code for answer in answers} == {200}
    return number / (time.monotonic() - begun)


def memory(running: Running) -> dict[str, float]:
    """MB of the server and of its worker."""
    server = psutil.Process(running.process.pid)
    return {"server": server.memory_info().rss / 1e6, "worker": running.worker.memory_info().rss / 1e6}


def test_the_server_stands_a_siege(model, tmp_path):
    seen, over = Seen(), threading.Event()
    besiegers = [overload] * (80 if WHOLE else 20)  # four at a time is what it can bear
    with server(model, "--queue", len(besiegers) // 5) as running:
        alone = rate(running, 60 if WHOLE else 10)
        rate(running, 200 if WHOLE else 20)  # the sizes to come, so that memory is compared like with like
        before = memory(running)
        with ThreadPoolExecutor(len(besiegers) + 8) as pool:
            fuzzed = pool.submit(schemathesis, running, tmp_path)
            work = [pool.submit(besieger, running, seen, over) for besieger in (*besiegers, watch, kill_workers)]
            work += [pool.submit(fuzz, running, seen, over, seed) for seed in range(2)]
            time.sleep(SECONDS)
            try:  # on a machine with much else to do seconds are too few
                waited(lambda: seen.statuses[200] and seen.statuses[503])
            finally:
                over.set()
            for each in (*work, fuzzed):
                each.result()
        running.wait_ready()
        recovered = rate(running, 60 if WHOLE else 10)
        rate(running, 200 if WHOLE else 20)
        time.sleep(2)
        after = memory(running)
        metrics = running.get("/metrics").text
        assert running.stop() == 0
    times, health = np.array(seen.accepted), np.array(seen.health)
    figures = {
        "seconds": SECONDS,
        "statuses": dict(sorted(seen.statuses.items())),
        "lost": len(seen.lost),
        "unplanned": seen.unplanned[:5],
        "images a second before, after": [round(alone, 1), round(recovered, 1)],
        "accepted median, p99 s": [round(float(np.percentile(times, p)), 2) for p in (50, 99)],
        "/health/live median, p99 ms": [round(1000 * float(np.percentile(health, p))) for p in (50, 99)],
        "workers killed": len(seen.downtimes),
        "ready again after s": [round(each, 1) for each in seen.downtimes],
        "MB before": {name: round(value) for name, value in before.items()},
        "MB after": {name: round(value) for name, value in after.items()},
        "retries": next(line.split()[1] for line in metrics.splitlines() if line.startswith("unpaired_retries_total")),
        "schemathesis": [line.strip() for line in fuzzed.result().stdout.splitlines() if "generated" in line],
    }
    print(json.dumps(figures, indent=1))
    assert not seen.unplanned and not seen.lost
    assert fuzzed.result().returncode == 0, fuzzed.result().stdout[-3000:]
    # A cut of seconds leaves a new worker's caches half filled; the promise of 10 % is the whole siege's.
    slack = 1.1 if WHOLE else 1.3
    assert all(after[name] <= slack * before[name] + 10 for name in before), (before, after)
    assert len(seen.downtimes) >= 1
    if WHOLE:
        assert float(times.max()) <= 120 + 10


def test_asked_to_stop_under_load_no_accepted_request_is_lost(model):
    number = 200 if WHOLE else 40
    data = images(4, side=100)
    with server(model, "--queue", 1000, "--batch", 4, "--grace", 120) as running, ThreadPoolExecutor(number) as pool:
        clients = [running.client() for _ in range(number)]
        answers = [pool.submit(client.post, "/translate", content=data[k % 4]) for k, client in enumerate(clients)]
        waited(lambda: accepted(running) == number)
        running.process.send_signal(signal.SIGTERM)
        statuses = Counter(answer.result().status_code for answer in answers)
        assert running.process.wait(60) == 0
        for client in clients:
            client.close()
    assert statuses == {200: number}


def accepted(running):
    """Requests that wait, or were handed to the worker."""
    lines = dict(line.rsplit(" ", 1) for line in running.get("/metrics").text.splitlines() if line[0] != "#")
    return float(lines["unpaired_waiting_requests"]) + float(lines["unpaired_batch_images_sum"])


def test_paths_and_addresses_leak_nothing_and_open_no_connection(model, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("THE-PLANTED-SECRET")
    image = encoded(shapes("A", 0), "PNG")
    with socket.create_server(("127.0.0.1", 0)) as canary, server(model) as running:
        canary.settimeout(0.2)
        texts = traversals(str(secret)) + addresses(canary.getsockname()[1])
        assert len(texts) >= 300 and len(set(texts)) == len(texts)
        texts = texts if WHOLE else texts[::7]
        host, port = running.url.removeprefix("http://").split(":")
        address, family = (host, int(port)), [psutil.Process(running.process.pid), running.worker]
        with running.client() as client:
            for number, text in enumerate(texts):
                field = text.encode(errors="surrogateescape")
                line = field.replace(b"\0", b"%00").replace(b'"', b"%22")
                disposition = b'Content-Disposition: form-data; name="image"; filename="' + line + b'"\r\n\r\n'
                form = b"--b\r\n" + disposition + image + b"\r\n--b--\r\n"
                kind = {"Content-Type": "multipart/form-data; boundary=b"}
                answers = [
                    client.post("/translate", params={"model": text}, content=image),
                    client.post("/translate", params={"format": text, "direction": text}, content=image),
                    client.post("/translate", content=field),
                    client.post("/translate", content=form, headers=kind),
                    client.get("/models", headers={"X-Forwarded-Host": quote(text), "Referer": quote(text)}),
                ]
                assert [each.status_code for each in answers[:3]] == [422] * 3
                assert all(each.status_code < 500 for each in answers)
                path = quote(text, safe="/%.;\\:@#?").encode()
                bare = exchange(
                    address, b"GET /" + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 10
                )
                assert bare.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200 OK")), bare
                for content in (bare, *(each.content for each in answers)):
                    assert b"PLANTED" not in content and b"root:x:" not in content
                if number % 20 == 0:
                    assert not outgoing(family, running)
        with pytest.raises(TimeoutError):
            canary.accept()
        assert not outgoing(family, running)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.txt"]


def outgoing(family, running):
    """Connections of the server or its worker other than those that clients opened."""
    port = int(running.url.rpartition(":")[2])
    return [each for process in family for each in process.net_connections() if each.laddr.port != port]
