"""Webhooks from end to end: who is told what, by whom it is signed, and what bad receivers do."""

from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from autos.cnj import CaseNumber
from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox


async def new_secret(api: Api) -> str:
    """A signing secret of the key that the tests ask with."""
    reply = await api.request("POST", "/webhooks/secret/rotate")
    assert reply.status_code == 201, reply.text
    secret: str = reply.json()["secret"]
    return secret


def verified(secret: str, request: dict[str, Any]) -> dict[str, Any]:
    """The event, taken by the public library of Standard Webhooks as a receiver takes it."""
    event: dict[str, Any] = Webhook(secret).verify(request["body"], request["headers"])
    return event


def event_ids(requests: list[dict[str, Any]]) -> set[str]:
    """The ids of the events that were sent."""
    return {request["headers"]["webhook-id"] for request in requests}


async def test_every_url_gets_one_signed_event_whatever_the_ending(
    api: Api, sandbox: Sandbox
) -> None:
    """F7, F10, F11, F34: a second caller, nothing to do, all failed, nobody knows it.

    The first receiver drops the connection: the job stays completed, the event comes again.
    """
    secret = await new_secret(api)
    await sandbox.control("POST", "/receiver/first", json={"behaviour": "drop", "count": 1})
    await sandbox.control("POST", "/switches", json={"latency_ms": 200})
    case = await sandbox.new_case(7, size_bytes=3000)
    number = case["number"]
    await api.start(number, webhook_url=sandbox.receiver("first"))
    await api.start(number, webhook_url=sandbox.receiver("second"))
    assert (await api.ended(number))["status"] == "completed"
    await sandbox.received("first")
    assert (await api.status(number))["status"] == "completed"
    await api.start(number, webhook_url=sandbox.receiver("nothing-to-do"))
    secret_case = await sandbox.new_case(3, size_bytes=3000)
    async with sandbox.fault("secret_piece_403", secret_case["number"]):
        await api.start(secret_case["number"], webhook_url=sandbox.receiver("all-failed"))
        assert (await api.ended(secret_case["number"]))["status"] == "failed"
    unknown = CaseNumber.build(9_998_100, 2024, 4, 3, 6100).digits
    await api.start(unknown, webhook_url=sandbox.receiver("unknown"))

    endings = {
        "first": "completed",
        "second": "completed",
        "nothing-to-do": "completed",
        "all-failed": "failed",
        "unknown": "failed",
    }
    told = {name: await sandbox.received(name, 2 if name == "first" else 1) for name in endings}
    for name, ending in endings.items():
        assert len(event_ids(told[name])) == 1, name
        event = verified(secret, told[name][-1])
        assert event["type"] == f"process.download.{ending}", name
        assert event["data"]["status"] == ending
    assert [request["behaviour"] for request in told["first"]] == ["drop", "ok"]
    assert (await api.status(number))["status"] == "completed"
    assert len(set.union(*(event_ids(requests) for requests in told.values()))) == len(endings)

    documents = verified(secret, told["first"][-1])["data"]["documents"]
    known = {document["uuid"]: document["sha256"] for document in case["documents"]}
    assert {document["uuid"]: document["sha256"] for document in documents} == known
    for document in documents:
        assert await api.sha256(document["download_url"]) == known[document["uuid"]]


async def test_what_a_receiver_missed_is_kept_told_and_replayed_under_its_id(
    api: Api, sandbox: Sandbox, stack: Stack
) -> None:
    """U4: a receiver that says "gone" is given up in plain sight; nothing of it is lost."""
    since = datetime.now(UTC).isoformat()
    await sandbox.control("POST", "/receiver/gone", json={"behaviour": "status", "status": 410})
    case = await sandbox.new_case(2, size_bytes=3000)
    await api.start(case["number"], webhook_url=sandbox.receiver("gone"))
    await api.ended(case["number"])
    await sandbox.received("gone")
    delivery = await delivery_of(api, case["masked"], "failed")
    assert (delivery["last_error"], delivery["attempt_count"]) == ("gone", 1)
    status = await api.status(case["number"])
    assert (status["status"], status["webhook_sent"]) == ("completed", False)
    assert (status["webhook_last_error"], status["webhook_attempts"]) == ("gone", 1)
    # It is in the records: whatever is restarted meanwhile.
    await stack.kill("worker")
    await stack.wait_ready("worker")
    await sandbox.control("POST", "/receiver/gone", json={"behaviour": "ok"})
    recovered = await api.request("POST", "/webhooks/recover", json={"since": since})
    assert delivery["id"] in recovered.json()["ids"]
    requests = await sandbox.received("gone", 2)
    assert event_ids(requests) == {delivery["id"]}
    assert (await delivery_of(api, case["masked"], "delivered"))["attempt_count"] == 2


async def delivery_of(api: Api, number: str, status: str) -> dict[str, Any]:
    """The process's one delivery in the log, once it is in this status."""
    async for _ in api.patience():
        log = (await api.request("GET", "/webhooks/deliveries")).json()["items"]
        (delivery,) = [one for one in log if one["process_number"] == number]
        if delivery["status"] == status:
            return dict(delivery)
    raise AssertionError(f"The delivery was never {status}.")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://127.1/",
        "https://localhost/",
        "https://user:pass@example.org/",
        "http://example.org/",
        "https://example.org:8443/",
    ],
)
async def test_no_webhook_reaches_into_our_own_network(strict_api: Api, url: str) -> None:
    """F8: refused for what is written, or for where it leads when it is dialled."""
    body = {"url": url}
    valid = await strict_api.request("POST", "/webhooks/webhook-validate", json=body)
    assert (valid.status_code, valid.json()["valid"]) == (200, False)
    tried = await strict_api.request("POST", "/webhooks/webhook-test-connectivity", json=body)
    if tried.status_code == 200:
        assert (tried.json()["error"], tried.json()["status_code"]) == ("blocked", None)
    else:
        assert tried.status_code == 422


async def test_webhook_tools_want_a_key_and_never_repeat_what_was_answered(
    api: Api, strict_api: Api, sandbox: Sandbox
) -> None:
    """F8: the sandbox's own pages stand for something inside that nobody is to read."""
    inside = f"{sandbox.url}/receiver/inside"
    stranger = Api(api.http, api.url, "autos_nobody")
    for tool in ("webhook-test-connectivity", "webhook-send-test"):
        refused = await stranger.request("POST", f"/webhooks/{tool}", json={"url": inside})
        assert refused.status_code == 401
        blocked = await strict_api.request("POST", f"/webhooks/{tool}", json={"url": inside})
        assert blocked.status_code in (200, 422)
    assert (await sandbox.control("GET", "/receiver/inside"))["total"] == 0
    allowed = await api.request("POST", "/webhooks/webhook-send-test", json={"url": inside})
    assert allowed.json()["delivered"] is True
    assert '"received"' not in allowed.text
    start = await strict_api.request(
        "POST",
        f"/processes/{CaseNumber.build(9_998_101, 2024, 4, 3, 6100).digits}/downloads",
        json={"webhook_url": inside},
    )
    assert start.status_code == 422
