"""Secrets are removed from log lines (F32)."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from autos import telemetry

KEY = "autos_" + "k" * 43


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        (f"key {KEY}.", "key autos_***."),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La=", "signed with whsec_***"),
        ("https://a.example/h?token=x&y=z next", "https://a.example/h?*** next"),
        ("https://user:pass@a.example/", "https://***@a.example/"),
        ("https://a.example/path stays", "https://a.example/path stays"),
        ("000000102.2024 autos_worker", "000000102.2024 autos_worker"),
    ],
)
def test_secrets_are_removed(text: str, logged: str) -> None:
    assert telemetry.redact(text) == logged


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = list(root.handlers), root.level, structlog.get_config()
    telemetry.configure("json", "worker")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    handler.setStream(written)
    yield written
    root.handlers[:], level, configuration = before
    root.setLevel(level)
    structlog.configure(**configuration)


def test_both_kinds_of_loggers_write_one_json_object_per_line(lines: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-12345678")
    try:
        structlog.get_logger("ours").info("hello", url="https://a.example/?q=1")
        logging.getLogger("theirs").warning("got %s", KEY)
    finally:
        structlog.contextvars.clear_contextvars()
    ours, theirs = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (ours["event"], ours["url"]) == ("hello", "https://a.example/?***")
    assert theirs["event"] == "got autos_***"
    for line, level in ((ours, "info"), (theirs, "warning")):
        assert (line["service"], line["request_id"]) == ("worker", "r-12345678")
        assert line["level"] == level
        assert line["timestamp"].endswith("Z")


def test_request_id_is_kept_only_if_valid() -> None:
    assert telemetry.request_id("order-1234") == "order-1234"
    for given in (None, "", "short", "a b c d e f g", "x" * 65, "line\nbreak"):
        assert telemetry.request_id(given) != given
