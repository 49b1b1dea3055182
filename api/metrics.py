"""Prometheus metrics of the API, by route template: a metric never holds a case number."""

from prometheus_client import CollectorRegistry, Counter, Histogram


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

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.requests.labels(method, route, str(status)).inc()
        self.durations.labels(method, route).observe(seconds)
