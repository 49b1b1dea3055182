"""Prometheus metrics of the API, labelled by route template, so never with a case number."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from autos.contracts.reasons import WaitReason
from autos.records.jobs import Wait


class Metrics:
    """One registry per app, so that several apps fit into one process (tests)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "autos_http_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.durations = Histogram(
            "autos_http_request_duration_seconds",
            "Time from request to the last byte of its answer",
            ["method", "route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self.registry,
        )
        self.jobs_waiting = Gauge(
            "autos_jobs_waiting",
            "Running jobs that wait, by what they wait for, as the records have it",
            ["waiting_for"],
            registry=self.registry,
        )
        self.longest_wait = Gauge(
            "autos_jobs_waiting_longest_seconds",
            "How long the first of them has waited",
            ["waiting_for"],
            registry=self.registry,
        )

    def show_waits(self, waits: Sequence[Wait]) -> None:
        """Set the gauges of waiting jobs; a reason that no job waits for is 0."""
        now = datetime.now(UTC)
        for waiting_for in WaitReason:
            these = [wait for wait in waits if wait.waiting_for is waiting_for]
            since = min((wait.since for wait in these if wait.since), default=now)
            self.jobs_waiting.labels(waiting_for).set(sum(wait.jobs for wait in these))
            self.longest_wait.labels(waiting_for).set((now - since).total_seconds())

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.requests.labels(method, route, str(status)).inc()
        self.durations.labels(method, route).observe(seconds)
