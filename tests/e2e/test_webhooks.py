"""Webhooks end to end: events, signatures and failing receivers."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2
from standardwebhooks import Webhook

from autos.cnj import CaseNumber
from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox

SCHEMAS: Final = Path(__file__).parents[2] / "docs" / "reference" / "webhook-schemas"


async def new_secret(api: Api) -> str:
    """A new signing secret of the tests' API key."""
    reply = await api.request("POST", "/webhooks/secret/rotate")
    assert reply.status_code == 201, reply.text
    secret: str = reply.json()["secret"]
    return secret


def verified(secret: str, request: dict[str, Any]) -> dict[str, Any]:
    """The event, verified with the public Standard Webhooks library as a receiver would."""
    event: dict[str, Any] = Webhook(secret).verify(request["body"], request["headers"])
    return event


def event_ids(requests: list[dict[str, Any]]) -> set[str]:
    """The ids of the events that were sent."""
    return {request["headers"]["webhook-id"] for request in requests}


async def test_every_url_gets_one_signed_event_for_every_ending(api: Api, sandbox: Sandbox) -> None:
    """F7, F10, F11, F34: a second caller, nothing to do, all failed, an unknown process.

    The first receiver drops the connection: the job stays completed and the delivery is retried.
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
    received = {name: await sandbox.received(name, 2 if name == "first" else 1) for name in endings}
    for name, ending in endings.items():
        assert len(event_ids(received[name])) == 1, name
        event = verified(secret, received[name][-1])
        assert event["type"] == f"process.download.{ending}", name
        assert event["data"]["status"] == ending
    assert [request["behaviour"] for request in received["first"]] == ["drop", "ok"]
    assert (await api.status(number))["status"] == "completed"
    assert len(set.union(*(event_ids(requests) for requests in received.values()))) == len(endings)

    documents = verified(secret, received["first"][-1])["data"]["documents"]
    known = {document["uuid"]: document["sha256"] for document in case["documents"]}
    assert {document["uuid"]: document["sha256"] for document in documents} == known
    for document in documents:
        assert await api.sha256(document["download_url"]) == known[document["uuid"]]


async def test_missed_event_is_recorded_and_recovered_under_its_id(
    api: Api, sandbox: Sandbox, stack: Stack
) -> None:
    """U4: a receiver that returns 410 is given up visibly; its event is kept."""
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
    # The delivery is in the records and survives a restart of the worker.
    await stack.kill("worker")
    await stack.wait_ready("worker")
    await sandbox.control("POST", "/receiver/gone", json={"behaviour": "ok"})
    recovered = await api.request("POST", "/webhooks/recover", json={"since": since})
    assert delivery["id"] in recovered.json()["ids"]
    requests = await sandbox.received("gone", 2)
    assert event_ids(requests) == {delivery["id"]}
    assert (await delivery_of(api, case["masked"], "delivered"))["attempt_count"] == 2


async def delivery_of(api: Api, number: str, status: str) -> dict[str, Any]:
    """Wait until the process's only delivery has this status, and return it."""
    async for _ in api.poll():
        log = (await api.request("GET", "/webhooks/deliveries")).json()["items"]
        (delivery,) = [one for one in log if one["process_number"] == number]
        if delivery["status"] == status:
            return dict(delivery)
    raise AssertionError(f"The delivery was never {status}.")


async def test_webhook_tools_require_a_key_and_return_no_response_body(
    api: Api, strict_api: Api, sandbox: Sandbox
) -> None:
    """F8: the sandbox's pages represent an internal service that callers must not read."""
    inside = f"{sandbox.url}/receiver/inside"
    unauthenticated = Api(api.http, api.url, "autos_unknown")
    for tool in ("webhook-test-connectivity", "webhook-send-test"):
        refused = await unauthenticated.request("POST", f"/webhooks/{tool}", json={"url": inside})
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


def properties(schema: dict[str, Any], name: str | None = None) -> set[str]:
    """The properties of a published schema."""
    return set((schema["$defs"][name] if name else schema)["properties"])


async def test_event_is_signed_matches_its_schema_and_has_working_links(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    """F7, F32, F34: started by GET; the secret in the URL's query is in no log."""
    secret = await new_secret(api)
    case = await sandbox.new_case(6, size_bytes=2000)
    address = f"{sandbox.url}/receiver/full?token=in-the-query"
    async with sandbox.fault("secret_piece_403", case["number"], case["documents"][0]["uuid"]):
        await api.request("GET", f"/processes/{case['number']}", params={"webhook_url": address})
        (request,) = await sandbox.received("full")
    event = verified(secret, request)
    data = event["data"]
    schema = json.loads((SCHEMAS / "full.json").read_text())
    assert set(event) == properties(schema)
    assert set(data) == properties(schema, "FullData")
    assert all(set(each) == properties(schema, "EventDocument") for each in data["documents"])

    known = {document["uuid"]: document["sha256"] for document in case["documents"]}
    stored = [document for document in data["documents"] if document["status"] == "available"]
    (failed,) = (document for document in data["documents"] if document not in stored)
    assert (failed["uuid"], failed["reason"]) == (case["documents"][0]["uuid"], "secret")
    assert failed["download_url"] is None
    for document in stored:
        assert document["sha256"] == known[document["uuid"]]
        assert await api.sha256(document["download_url"]) == document["sha256"]
        expires = httpx2.URL(document["download_url"]).params["X-Amz-Expires"]
        assert 3600 <= int(expires) <= 3900
        assert (await http.get(document["content_url"])).status_code == 401
        headers = {"Authorization": f"Bearer {api.key}"}
        link = await http.get(document["content_url"], headers=headers)
        assert await api.sha256(link.headers["location"]) == document["sha256"]
    manifest = (await http.get(data["manifest_url"])).json()
    assert manifest["total_documents"] == data["total_documents"] == 6

    logs = "".join(log.read_text() for log in (stack.data_dir / "logs").glob("*.log"))
    assert request["headers"]["webhook-id"] in logs
    signature = request["headers"]["webhook-signature"].split()[0]
    for hidden in ("in-the-query", "X-Amz-Signature", secret, signature, api.key):
        assert hidden not in logs


async def test_url_gets_one_event_per_job_and_one_when_nothing_is_to_do(
    api: Api, sandbox: Sandbox
) -> None:
    """F11."""
    case = await sandbox.new_case(3, size_bytes=2000)
    await sandbox.control("POST", "/switches", json={"latency_ms": 300})
    for _ in range(3):
        await api.start(case["number"], webhook_url=f"{sandbox.url}/receiver/thrice")
    await api.ended(case["number"])
    later = {"webhook_url": f"{sandbox.url}/receiver/later", "payload": "thin"}
    await api.request("POST", f"/processes/{case['number']}/downloads", json=later)
    (request,) = await sandbox.received("later")
    event = json.loads(request["body"])
    schema = json.loads((SCHEMAS / "thin.json").read_text())
    assert set(event["data"]) == properties(schema, "ThinData")
    assert event["type"] == "process.download.completed"
    assert len(await sandbox.received("thrice")) == 1
    assert set((await sandbox.counters())["documents"].values()) == {1}
