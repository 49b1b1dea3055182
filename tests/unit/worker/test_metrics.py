"""The courts' metrics in Temporal's runtime."""

from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from worker.main import CourtMetrics


def test_limit_breaker_and_rejections_are_reported_by_court() -> None:
    buffer = MetricBuffer(100)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    metrics = CourtMetrics(runtime.metric_meter)
    metrics.court_changed("TJSP", 9, is_open=True)
    metrics.request_rejected("TJSP")
    seen = {
        (update.metric.name, update.attributes["court"]): update.value
        for update in buffer.retrieve_updates()
        if update.metric.name.startswith("autos_")
    }
    assert seen == {
        ("autos_source_limit", "TJSP"): 9,
        ("autos_source_breaker_open", "TJSP"): 1,
        ("autos_source_held_back", "TJSP"): 1,
    }
