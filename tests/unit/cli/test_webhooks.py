"""`autos webhooks`: the requests that the commands send, and their output."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from cli import webhooks
from cli.terminal import CommandError
from tests.unit.cli.conftest import Commands

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Run = Callable[..., tuple[int, str, list[Any]]]


@pytest.fixture
def run(commands: Commands) -> Run:
    """Run a command with scripted responses; returns exit code, output and requests."""

    def invoke(*arguments: str, answers: list[Any]) -> tuple[int, str, list[Any]]:
        requests: list[Any] = []

        def handle(request: httpx2.Request) -> httpx2.Response:
            body = json.loads(request.content) if request.content else None
            requests.append((request.method, request.url.path, dict(request.url.params), body))
            return httpx2.Response(200, json=answers.pop(0))

        result = commands.run(webhooks.app, handle, *arguments)
        return result.exit_code, result.output, requests

    return invoke


def test_log_is_printed(run: Run) -> None:
    delivery = {
        "id": "evt_1",
        "type": "process.download.completed",
        "process_number": "9990002-86.2024.8.26.0100",
        "job_id": "5f17ffc2-fe60-4317-8725-6e09c5bad85e",
        "api_key_id": "0d6f5d0a-9d1f-4a7a-8c36-2f0d6f1b7e11",
        "payload": "full",
        "delivered_at": None,
        "status": "pending",
        "attempt_count": 1,
        "last_error": "status",
        "next_attempt_at": "2026-11-24T12:00:00Z",
        "created_at": "2026-11-24T11:00:00Z",
        "attempts": [
            {
                "number": 1,
                "accepted": False,
                "response_length": 12,
                "error": "status",
                "started_at": "2026-11-24T11:00:00Z",
                "host": "receiver.example",
                "status_code": 500,
                "milliseconds": 12,
                "detail": "Out of order.",
            }
        ],
    }
    code, output, requests = run("log", "--attempts", answers=[{"items": [delivery]}])
    assert code == 0
    assert requests == [
        ("GET", "/api/v1/webhooks/deliveries", {"limit": "20", "attempts": "true"}, None)
    ]
    for word in ("evt_1", "pending", "receiver.example", "500", "Out of order."):
        assert word in output


def test_redeliver_sends_one_request(run: Run) -> None:
    code, output, requests = run("redeliver", "evt_1", answers=[{"id": "evt_1"}])
    assert (code, "Redelivering evt_1" in output) == (0, True)
    assert requests[0][:2] == ("POST", "/api/v1/webhooks/deliveries/evt_1/redeliver")


def test_recover_continues_to_the_last_page(run: Run) -> None:
    pages = [{"ids": ["evt_1", "evt_2"], "next": "more"}, {"ids": ["evt_3"], "next": None}]
    code, output, requests = run("recover", "2026-11-24T11:00Z", answers=pages)
    assert (code, "3 events" in output) == (0, True)
    assert [request[3]["cursor"] for request in requests] == [None, "more"]


@pytest.mark.parametrize(
    ("arguments", "method", "path"),
    [
        (["--create"], "POST", "/api/v1/webhooks/secret"),
        (["--rotate"], "POST", "/api/v1/webhooks/secret/rotate"),
    ],
)
def test_new_secret_is_printed(run: Run, arguments: list[str], method: str, path: str) -> None:
    code, output, requests = run("secret", *arguments, answers=[{"secret": "whsec_abc"}])
    assert (code, "whsec_abc" in output) == (0, True)
    assert requests[0][:2] == (method, path)


def test_state_of_the_secret_is_printed(run: Run) -> None:
    state = {
        "secrets": [{"scheme": "v1", "created_at": "2026-11-23T12:00:00Z", "expires_at": None}],
        "public_keys": ["whpk_abc"],
        "overlap_seconds": 86400,
    }
    code, output, _ = run("secret", answers=[state])
    assert code == 0
    assert "v1, created 2026-11-23 12:00:00+00:00: current" in output
    assert "whpk_abc" in output


def test_create_and_rotate_exclude_each_other(run: Run) -> None:
    code, output, requests = run("secret", "--create", "--rotate", answers=[])
    assert (code, requests) == (2, [])
    assert "either" in output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
        ("6h", datetime(2026, 11, 24, 6, 0, tzinfo=UTC)),
        ("3d", datetime(2026, 11, 21, 12, 0, tzinfo=UTC)),
        ("2026-11-24T03:00Z", datetime(2026, 11, 24, 3, 0, tzinfo=UTC)),
        ("2026-11-24T03:00", datetime(2026, 11, 24, 3, 0, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
    ],
)
def test_since_is_parsed(text: str, expected: datetime) -> None:
    assert webhooks.parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "h", "-3h", "yesterday", "3w", "1000000d"])
def test_invalid_since_is_rejected(text: str) -> None:
    with pytest.raises(CommandError):
        webhooks.parse_since(text, NOW)
