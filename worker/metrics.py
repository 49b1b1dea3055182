"""What a worker's page of metrics says of the courts, beside Temporal's own metrics.

A court's short name is the only label: no case number is ever in a metric.
"""

from temporalio.common import MetricMeter


class CourtMetrics:
    """Shows each court's limit and breaker (see `autos.source.courtesy.courts.CourtObserver`)."""

    def __init__(self, meter: MetricMeter) -> None:
        self._limit = meter.create_gauge(
            "autos_source_limit", "Requests at once that a court is given by this worker"
        )
        self._open = meter.create_gauge(
            "autos_source_breaker_open", "1 while this worker asks a court nothing but trials"
        )
        self._held_back = meter.create_counter(
            "autos_source_held_back",
            "Requests that were not sent, since their court is out of order",
        )

    def court_changed(self, court: str, limit: int, is_open: bool) -> None:
        """Set both gauges."""
        self._limit.set(limit, {"court": court})
        self._open.set(int(is_open), {"court": court})

    def held_back(self, court: str) -> None:
        """Count one."""
        self._held_back.add(1, {"court": court})
