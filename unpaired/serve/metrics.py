"""Counts and times in Prometheus' format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """One server's; each app has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        about = {"namespace": "unpaired", "registry": self.registry}
        self.requests = Counter("requests", "Requests answered", ["path", "status"], **about)
        self.seconds = Histogram(
            "request_seconds", "From the first byte to the answer", ["path"], buckets=SECONDS, **about
        )
        self.images = Counter("images", "Images translated", ["model"], **about)
        self.inference = Histogram("inference_seconds", "Through the network", ["model"], buckets=SECONDS, **about)
        self.batch = Histogram("batch_images", "Handed to the worker at once", buckets=(1, 2, 4, 8, 16, 32), **about)
        self.waiting = Gauge("waiting_requests", "In the queue", **about)
        self.ready = Gauge("ready", "1 while the worker is warm", **about)
        self.restarts = Counter("worker_restarts", "Workers started after the first", **about)
        self.retries = Counter("retries", "Requests given to a second worker", **about)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self.registry)
