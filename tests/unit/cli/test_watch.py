"""Watching a job: conditional requests, pauses and errors."""

import httpx2
import pytest

from autos.cnj import CaseNumber
from cli.client import ApiClient, ApiError, open_client
from cli.connection import Connection
from cli.progress import watch
from tests.unit.cli.fake_api import KEY, NUMBER, FakeApi, problem, status

CASE = CaseNumber.parse(NUMBER)


async def seen(client: ApiClient, retry_seconds: float = 5) -> list[int]:
    return [
        status.completed_documents
        async for status, _ in watch(client, CASE, interval=0.001, retry_seconds=retry_seconds)
    ]


async def test_unchanged_status_is_requested_by_etag_and_shown_once(
    fake: FakeApi, client: ApiClient
) -> None:
    first, last = status(completed_documents=1), status("completed", completed_documents=3)
    fake.statuses = [first, first, first, last]
    assert await seen(client) == [1, 3]
    assert fake.tags[0] is None
    assert fake.tags[1] == fake.tags[2] == fake.tags[3] is not None


async def test_retry_after_of_the_service_is_honoured(
    fake: FakeApi, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("cli.progress.asyncio.sleep", sleep)
    fake.retry_after = "2"
    fake.statuses = [
        status(),
        problem(503, "Busy", "Come back.", retry_after="7"),
        problem(429, "Too fast", "Slower.", retry_after="3600"),
        problem(503, "Busy", "Come back."),
        status("completed"),
    ]
    assert await seen(client) == [0, 0]
    assert pauses == [2, 7, 30, 0.001]


async def test_final_error_ends_the_watching(fake: FakeApi, client: ApiClient) -> None:
    fake.statuses = [problem(404, "Unknown process", "No job was started for it.")]
    with pytest.raises(ApiError, match="Unknown process: No job was started for it") as refused:
        await seen(client)
    assert refused.value.status == 404


async def test_restarting_service_is_waited_for_in_bounded_time() -> None:
    answers = iter([httpx2.ConnectError("down"), httpx2.ReadError("cut"), status("completed")])

    def handle(request: httpx2.Request) -> httpx2.Response:
        answer = next(answers, httpx2.ConnectError("down"))
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(200, json=answer)

    transport = httpx2.MockTransport(handle)
    async with open_client(Connection("http://api", KEY), transport) as client:
        assert await seen(client) == [0]
        with pytest.raises(httpx2.ConnectError):
            await seen(client, retry_seconds=0.01)
