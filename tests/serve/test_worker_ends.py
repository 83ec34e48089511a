"""Accepted requests are answered, whatever happens to the worker, the load and the server."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.corpus import encoded
from tests.data_sets import make_model, shapes
from tests.serve.running import server, waited


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "one", method__generator__width=16)


@pytest.fixture(scope="module")
def running(model):
    with server(model) as running:
        yield running


@pytest.fixture(scope="module")
def small_queue(model):
    with server(model, "--queue", 2, "--batch", 1) as running:
        yield running


def png(number, side):
    return encoded(shapes("A", number).resize((side, side)), "PNG")


def flood(running, images, workers=16):
    """All images at once; the answers in order."""
    with running.client(limits=httpx.Limits(max_connections=workers)) as client, ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda image: client.post("/translate", content=image), images))


def test_a_killed_workers_requests_are_answered_by_the_next(running):
    images = [png(number, 200) for number in range(24)]
    restarts, retries = (metric(running, f"unpaired_{name}_total") for name in ("worker_restarts", "retries"))
    expected = [answer.content for answer in flood(running, images, 1)]
    first = running.worker.pid
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(flood, running, images)
        waited(lambda: metric(running, "unpaired_waiting_requests") > 2)
        running.worker.send_signal(signal.SIGKILL)
        waited(lambda: running.get("/health/ready").status_code == 503)
        running.wait_ready()
        times = running.worker.cpu_times()
        assert [answer.content for answer in answers.result()] == expected
    assert running.worker.pid != first
    assert times.user + times.system < 10  # ready within 10 s, on a machine with nothing else to do
    assert metric(running, "unpaired_worker_restarts_total") == restarts + 1
    assert metric(running, "unpaired_retries_total") >= retries + 1


def test_a_request_that_two_workers_died_on_is_answered_503(running):
    before = metric(running, "unpaired_batch_images_count")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.post, png(0, 1500))  # takes seconds
        for times in (1, 2):
            waited(lambda times=times: metric(running, "unpaired_batch_images_count") == before + times)
            running.worker.kill()
        assert answer.result().status_code == 503 and "2 workers" in answer.result().json()["detail"]
        running.wait_ready()
        assert running.post(png(1, 64)).status_code == 200


def test_a_hanging_worker_is_replaced_and_its_request_told_so(model):
    with server(model, "--timeout", 3) as running:
        hanging = running.worker
        hanging.suspend()
        answer = running.post(png(0, 64))
        assert answer.status_code == 504 and "in time" in answer.json()["detail"]
        waited(lambda: not hanging.is_running(), 10)
        running.wait_ready()
        assert running.post(png(0, 64)).status_code == 200


def test_a_full_queue_answers_503_and_says_when_to_come_back(small_queue):
    answers = flood(small_queue, [png(number, 200) for number in range(30)], 20)
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 503}
    assert all(1 <= int(a.headers["retry-after"]) <= 60 for a in answers if a.status_code == 503)
    assert small_queue.post(png(0, 64)).status_code == 200


def test_a_client_that_leaves_frees_its_place(small_queue):
    small_queue.worker.suspend()
    images = [png(number, 64) for number in range(3)]
    with small_queue.client() as client:
        client.timeout = httpx.Timeout(1.0)
        with ThreadPoolExecutor(3) as pool:
            leaving = [pool.submit(client.post, "/translate", content=images[0])]
            time.sleep(0.5)  # the worker has the first, so that the queue of two takes the others
            leaving += [pool.submit(client.post, "/translate", content=image) for image in images[1:]]
            for waiting in leaving:
                with pytest.raises(httpx.ReadTimeout):
                    waiting.result()
    small_queue.worker.resume()
    assert small_queue.post(images[0]).status_code == 200
    assert metric(small_queue, "unpaired_requests_total", "499") == 3


def taken(running):
    """Requests that wait, are being translated, or have been."""
    return metric(running, "unpaired_batch_images_sum") + metric(running, "unpaired_waiting")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_finishes_what_it_accepted_and_refuses_the_rest(model, number):
    images = [png(number, 300) for number in range(12)]
    with server(model) as running, ThreadPoolExecutor(2) as pool, running.client() as waiting_client:
        assert waiting_client.get("/health/ready").status_code == 200  # a connection that stays open
        before = taken(running)
        answers = pool.submit(flood, running, images)
        waited(lambda: taken(running) - before >= 12)  # what has not been accepted by then is rightly refused
        assert not answers.done()
        running.process.send_signal(number)
        waited(lambda: any("stopping" in line for line in running.said))
        late = waiting_client.post("/translate", content=images[0])
        assert late.status_code == 503 and late.headers["connection"] == "close"
        assert [answer.status_code for answer in answers.result()] == [200] * 12
        assert running.process.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        running.get("/health/live")


def test_what_cannot_be_finished_in_the_grace_is_told_so(model):
    with server(model, "--grace", 0.5) as running, ThreadPoolExecutor(4) as pool:
        running.worker.suspend()
        answers = [pool.submit(running.post, png(number, 64)) for number in range(4)]
        waited(lambda: metric(running, "unpaired_batch_images_sum") + metric(running, "unpaired_waiting") >= 4)
        running.process.send_signal(signal.SIGTERM)
        assert [answer.result().status_code for answer in answers] == [503] * 4
        assert "stopped before" in answers[0].result().json()["detail"]
        assert running.process.wait(20) == 0


def test_nothing_is_left_when_the_server_itself_is_killed(model):
    with server(model) as running:
        worker = running.worker
        running.process.kill()
        waited(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 10)


def test_it_is_not_ready_before_its_models_are(model):
    with server(model, ready=False) as running:
        assert running.get("/health/live").status_code == 200
        assert running.get("/health/ready").status_code == 503
        assert running.get("/models").status_code == 503
        assert running.post(png(0, 64)).status_code == 200  # waits for the worker
        assert running.get("/health/ready").status_code == 200


def test_health_is_answered_while_images_are_translated(running):
    with ThreadPoolExecutor(1) as pool, running.client() as client:
        answers = pool.submit(flood, running, [png(number, 300) for number in range(12)])
        times = []
        while not answers.done():
            begun = time.perf_counter()
            assert client.get("/health/live").status_code == 200
            times.append(time.perf_counter() - begun)
            time.sleep(0.01)
        assert sorted(times)[int(0.9 * len(times))] < 0.1


def metric(running, name, label=""):
    lines = [line for line in running.get("/metrics").text.splitlines() if line.startswith(name) and label in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
