"""The receivers of webhooks."""

from typing import Any

import httpx2
import pytest

from tests.unit.sandbox.driver import Sandbox

BODY = {"id": "evt_1", "text": "ação"}


async def post(sandbox: Sandbox, **more: Any) -> httpx2.Response:
    return await sandbox.http.post("/receiver/one", json=BODY, **more)


async def test_keeps_what_it_is_sent(sandbox: Sandbox) -> None:
    reply = await post(sandbox, headers={"webhook-id": "msg_1"})
    assert reply.status_code == 200
    kept = await sandbox.control("receiver/one")
    (request,) = kept["requests"]
    assert request["body"] == reply.request.content.decode()
    assert request["headers"]["webhook-id"] == "msg_1"
    assert (kept["total"], request["status"]) == (1, 200)
    assert (await sandbox.control("receiver/other"))["requests"] == []
    assert (await sandbox.control("counters"))["requests_total"] == 0


async def test_status_for_some_requests(sandbox: Sandbox) -> None:
    script = {"behaviour": "status", "status": 503, "count": 2, "retry_after": 3}
    await sandbox.control("receiver/one", script)
    replies = [await post(sandbox) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [503, 503, 200]
    assert replies[0].headers["retry-after"] == "3"
    requests = (await sandbox.control("receiver/one?after=1"))["requests"]
    assert [request["status"] for request in requests] == [503, 200]


async def test_redirect_and_huge(sandbox: Sandbox) -> None:
    script = {"behaviour": "redirect", "location": "http://127.0.0.1:1/", "status": 307}
    await sandbox.control("receiver/one", script)
    reply = await post(sandbox)
    assert (reply.status_code, reply.headers["location"]) == (307, "http://127.0.0.1:1/")
    await sandbox.control("receiver/one", {"behaviour": "huge"})
    async with sandbox.http.stream("POST", "/receiver/one", json=BODY) as huge:
        assert int(huge.headers["content-length"]) > 50_000_000


@pytest.mark.parametrize(
    ("behaviour", "error"), [("timeout", httpx2.ReadTimeout), ("drop", httpx2.ReadError)]
)
async def test_no_answer(sandbox: Sandbox, behaviour: str, error: type[Exception]) -> None:
    await sandbox.control("receiver/one", {"behaviour": behaviour})
    with pytest.raises(error):
        await post(sandbox, timeout=0.3)
    (request,) = (await sandbox.control("receiver/one"))["requests"]
    assert request["status"] is None


async def test_drip(sandbox: Sandbox) -> None:
    await sandbox.control("receiver/one", {"behaviour": "drip", "seconds": 0.4})
    reply = await post(sandbox)
    assert len(reply.content) == 1000
    assert reply.elapsed.total_seconds() >= 0.3


async def test_other_methods(sandbox: Sandbox) -> None:
    assert (await sandbox.http.get("/receiver/one")).status_code == 405
