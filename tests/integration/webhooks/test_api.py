"""The webhook routes: test tools, delivery log, redeliveries and secrets."""

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from standardwebhooks import Webhook
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from api.app import create_app
from api.webhooks import testing
from api.webhooks.redeliveries import MOST_PER_HOUR
from autos.cnj import CaseNumber
from autos.contracts.temporal_names import delivery_workflow_id
from autos.records.database import Database
from autos.records.models import now
from autos.settings import Settings
from autos.webhooks.secrets import Secrets, secrets_of
from tests.integration.api_parts import FakeStore, opener, problem
from tests.integration.webhooks.parts import (
    VAULT,
    Owner,
    activities,
    attempts_of,
    delivery_of,
    new_event,
    new_owner,
    secrets_of_owner,
    verify,
    webhook_worker,
)
from tests.unit.webhooks.receiver import drop, receiver, status

SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


async def request_as(
    api: httpx2.AsyncClient, owner: Owner, method: str, path: str, **options: Any
) -> httpx2.Response:
    return await api.request(method, path, headers=owner.headers, **options)


# ---------------------------------------------------------------------- tools


async def test_validate_returns_the_reason_of_an_invalid_url(
    webhooks_api: httpx2.AsyncClient, owner: Owner
) -> None:
    answers = {}
    for url in ("https://127.0.0.1/", "https://u:p@a.example/", "https://0x7f.1/", "nonsense"):
        answer = await request_as(
            webhooks_api, owner, "POST", "/webhook-validate", json={"url": url}
        )
        assert answer.status_code == 200
        answers[url] = answer.json()
    assert [answer["valid"] for answer in answers.values()] == [True, False, False, False]
    assert [answer["reason"] for answer in answers.values()] == [None, "user", "host", "scheme"]
    assert all(answer["detail"] for answer in answers.values())


async def test_validate_resolves_the_host(
    database: Database,
    temporal: Client,
    store: FakeStore,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(testing, "TIMEOUT_SECONDS", 0.1)
    production = Settings(secret_key=SecretStr("x" * 32))
    app = create_app(production, opener(database, temporal, store))

    async def resolver(host: str, port: int) -> list[Any]:
        from ipaddress import ip_address

        if host == "unknown.example":
            raise OSError
        if host == "hanging.example":
            await asyncio.Event().wait()
        return [ip_address("1.1.1.1"), ip_address("10.0.0.1" if "inside" in host else "1.0.0.1")]

    async def service() -> Any:
        return resolver

    app.dependency_overrides[testing.name_resolver] = service
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://api/api/v1/webhooks") as api,
    ):
        found = {}
        for host in ("outside.example", "inside.example", "unknown.example", "hanging.example"):
            body = {"url": f"https://{host}/"}
            answer = await request_as(api, owner, "POST", "/webhook-validate", json=body)
            found[host] = (answer.json()["valid"], answer.json()["reason"])
            assert "10.0.0.1" not in answer.text
        blocked = await request_as(
            api, owner, "POST", "/webhook-test-connectivity", json={"url": "https://10.0.0.1/"}
        )
    assert found == {
        "outside.example": (True, None),
        "inside.example": (False, "address"),
        "unknown.example": (False, "unresolvable"),
        "hanging.example": (False, "unresolvable"),
    }
    assert blocked.json()["error"] == "blocked"
    assert blocked.json()["status_code"] is None


@pytest.mark.parametrize("path", ["/webhook-test-connectivity", "/webhook-send-test"])
async def test_response_of_a_receiver_is_never_returned(
    webhooks_api: httpx2.AsyncClient, owner: Owner, path: str
) -> None:
    async with receiver(status(500, b"the secret of the house", X_Word="hidden")) as up:
        answer = await request_as(webhooks_api, owner, "POST", path, json={"url": up.url})
    assert answer.status_code == 200
    for hidden in ("secret of the house", "hidden", "in-the-query"):
        assert hidden not in answer.text
    body = answer.json()
    one = body["attempts"][0] if "attempts" in body else body
    assert one["status_code"] == 500
    assert one["milliseconds"] >= 0
    assert one["error"] == (None if "reachable" in body else "status")


@pytest.mark.parametrize("code", [200, 204, 301, 401, 404, 405, 410, 500, 501])
async def test_receiver_that_responds_is_reachable(
    webhooks_api: httpx2.AsyncClient, owner: Owner, code: int
) -> None:
    """(S32) A receiver that accepts only POST returns 405 to HEAD."""
    async with receiver(status(code, Location="/elsewhere")) as up:
        answer = await request_as(
            webhooks_api, owner, "POST", "/webhook-test-connectivity", json={"url": up.url}
        )
    body = answer.json()
    assert (body["reachable"], body["status_code"], body["error"]) == (True, code, None)


async def test_receiver_that_does_not_respond_is_not_reachable(
    webhooks_api: httpx2.AsyncClient, owner: Owner
) -> None:
    """(S32) With the reason."""
    async with receiver(drop) as up:
        broken = await request_as(
            webhooks_api, owner, "POST", "/webhook-test-connectivity", json={"url": up.url}
        )
    gone = await request_as(
        webhooks_api, owner, "POST", "/webhook-test-connectivity", json={"url": up.url}
    )
    found = [(one.json()["reachable"], one.json()["error"]) for one in (broken, gone)]
    assert found == [(False, "protocol"), (False, "connection")]


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/hook", "https://0x7f000001/", "https://localhost/hook"]
)
async def test_private_address_is_rejected_at_once(
    database: Database, temporal: Client, store: FakeStore, owner: Owner, case: CaseNumber, url: str
) -> None:
    """(S32) As by webhook-validate, not after three days of blocked attempts."""
    production = Settings(secret_key=SecretStr("x" * 32))
    app = create_app(production, opener(database, temporal, store))
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://api/api/v1") as api,
    ):
        validated = await request_as(
            api, owner, "POST", "/webhooks/webhook-validate", json={"url": url}
        )
        process = f"/processes/{case.digits}"
        refused = [
            await request_as(api, owner, "POST", f"{process}/downloads", json={"webhook_url": url}),
            await request_as(api, owner, "GET", process, params={"webhook_url": url}),
        ]
        nothing = await request_as(api, owner, "GET", f"{process}/status")
    assert validated.json()["valid"] is False
    for answer in refused:
        found = problem(answer, 422, "invalid-request")
        assert found["detail"] in (validated.json()["detail"], "See `errors` for what to change.")
    problem(nothing, 404, "process-unknown")


async def test_test_event_is_signed_and_retried(
    webhooks_api: httpx2.AsyncClient, database: Database, owner: Owner
) -> None:
    async with receiver() as up:
        up.script = [status(500)]
        body = {"url": up.url, "attempts": 3}
        answer = await request_as(webhooks_api, owner, "POST", "/webhook-send-test", json=body)
    body = answer.json()
    assert body["delivered"] is True
    assert [one["status_code"] for one in body["attempts"]] == [500, 204]
    (secret,) = await secrets_of_owner(database, owner)
    for request in up.requests:
        assert request.headers["webhook-id"] == body["event_id"]
        assert verify(secret, request)["type"] == "webhook.test"


async def test_test_receiver_verifies_and_stores_webhooks(
    webhooks_api: httpx2.AsyncClient, database: Database, owner: Owner
) -> None:
    created = await request_as(webhooks_api, owner, "POST", "/secret")
    body = '{"type":"webhook.test","link":"https://store.example/a?X-Amz-Signature=1"}'
    at = now()
    signature = Webhook(created.json()["secret"]).sign("evt_1", at, body)
    signed = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }

    async def send(path: str, headers: dict[str, str]) -> httpx2.Response:
        return await webhooks_api.post(path, headers=headers, content=body)

    good = await send("/webhook-test-receiver", owner.headers | signed)
    assert good.json()["verified"] is True
    wrong = await send("/webhook-test-receiver", owner.headers | signed | {"webhook-id": "evt_2"})
    assert (wrong.status_code, wrong.json()["verified"]) == (200, False)
    bare = await send("/webhook-test-receiver", owner.headers)
    assert "webhook-signature" in bare.json()["verdict"]

    listed = (await request_as(webhooks_api, owner, "GET", "/webhook-test-receiver")).json()
    assert [one["verified"] for one in listed["items"]] == [False, False, True]
    assert listed["items"][2]["type"] == "webhook.test"
    assert "X-Amz" not in json.dumps(listed)
    # The receiver's own URL accepts only signed webhooks.
    path = f"/webhook-test-receiver/{listed['url'].rpartition('/')[2]}"
    assert (await send(path, signed)).status_code == 200
    problem(await send(path, signed | {"webhook-id": "evt_2"}), 401, "webhook-signature-wrong")
    other = await new_owner(database)
    elsewhere = f"/webhook-test-receiver/{other.id}"
    problem(await send(elsewhere, signed), 401, "webhook-signature-wrong")
    unknown = f"/webhook-test-receiver/{uuid.uuid4()}"
    problem(await send(unknown, signed), 401, "webhook-signature-wrong")
    assert (await request_as(webhooks_api, other, "GET", "/webhook-test-receiver")).json()[
        "items"
    ] == []


async def test_test_receiver_keeps_twenty_and_rejects_large_bodies(
    webhooks_api: httpx2.AsyncClient, owner: Owner
) -> None:
    for number in range(22):
        sent = {"webhook-id": f"evt_{number}"}
        await webhooks_api.post("/webhook-test-receiver", headers=owner.headers | sent, content="x")
    listed = (await request_as(webhooks_api, owner, "GET", "/webhook-test-receiver")).json()[
        "items"
    ]
    assert [one["webhook_id"] for one in listed] == [f"evt_{n}" for n in range(21, 1, -1)]
    flood = await request_as(
        webhooks_api, owner, "POST", "/webhook-test-receiver", content=b"x" * 65_537
    )
    problem(flood, 413, "webhook-too-large")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/webhook-validate"),
        ("POST", "/webhook-test-connectivity"),
        ("POST", "/webhook-send-test"),
        ("POST", "/webhook-test-receiver"),
        ("GET", "/webhook-test-receiver"),
        ("GET", "/deliveries"),
        ("POST", f"/deliveries/evt_{'0' * 32}/redeliver"),
        ("POST", "/recover"),
        ("GET", "/secret"),
        ("POST", "/secret"),
        ("POST", "/secret/rotate"),
        ("PUT", "/secret/public-key"),
        ("DELETE", "/secret/public-key"),
    ],
)
async def test_webhook_routes_require_a_key(
    webhooks_api: httpx2.AsyncClient, method: str, path: str
) -> None:
    problem(await webhooks_api.request(method, path), 401, "unauthorized")


# ---------------------------------------------------------------------- secret


async def test_secret_is_shown_once(webhooks_api: httpx2.AsyncClient, owner: Owner) -> None:
    assert (await request_as(webhooks_api, owner, "GET", "/secret")).json()["secrets"] == []
    made = await request_as(webhooks_api, owner, "POST", "/secret")
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    problem(await request_as(webhooks_api, owner, "POST", "/secret"), 409, "webhook-secret-told")
    state = (await request_as(webhooks_api, owner, "GET", "/secret")).json()
    assert "whsec_" not in json.dumps(state)
    assert [one["scheme"] for one in state["secrets"]] == ["v1"]


async def test_secret_created_by_the_first_webhook_is_shown_once(
    webhooks_api: httpx2.AsyncClient, owner: Owner
) -> None:
    async with receiver() as up:
        await request_as(webhooks_api, owner, "POST", "/webhook-send-test", json={"url": up.url})
    made = await request_as(webhooks_api, owner, "POST", "/secret")
    verify(made.json()["secret"], up.requests[0])


async def any_lock_wait(database: Database) -> bool:
    """True if any session waits for a lock; uses a new transaction for a new snapshot."""
    async with database.transaction() as session:
        waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(await session.scalar(waits))


async def test_concurrent_requests_create_one_secret(database: Database, owner: Owner) -> None:
    async def other() -> Secrets:
        async with database.transaction() as session:
            return await secrets_of(session, owner.id, VAULT)

    async with database.transaction() as session:
        made = await secrets_of(session, owner.id, VAULT)
        waiting = asyncio.create_task(other())
        async with asyncio.timeout(60):
            while not waiting.done() and not await any_lock_wait(database):
                await asyncio.sleep(0.01)
    assert await waiting == made
    assert await secrets_of_owner(database, owner) == made.opened(VAULT, now())


async def test_rotation_signs_with_both_and_public_keys_are_served(
    webhooks_api: httpx2.AsyncClient, owner: Owner
) -> None:
    old = (await request_as(webhooks_api, owner, "POST", "/secret")).json()["secret"]
    enabled = (await request_as(webhooks_api, owner, "PUT", "/secret/public-key")).json()
    again = (await request_as(webhooks_api, owner, "PUT", "/secret/public-key")).json()
    assert enabled["public_keys"] == again["public_keys"]
    rotated = (await request_as(webhooks_api, owner, "POST", "/secret/rotate")).json()
    assert rotated["overlap_seconds"] == 86_400
    assert len(rotated["public_keys"]) == 2
    assert rotated["public_keys"][1] == enabled["public_keys"][0]
    assert all(key.startswith("whpk_") for key in rotated["public_keys"])
    assert [one["expires_at"] is None for one in rotated["secrets"]] == [True, False, True, False]
    async with receiver() as up:
        await request_as(webhooks_api, owner, "POST", "/webhook-send-test", json={"url": up.url})
        for secret in (old, rotated["secret"]):
            verify(secret, up.requests[0])
        signatures = up.requests[0].headers["webhook-signature"].split()
        assert [one.split(",")[0] for one in signatures] == ["v1", "v1", "v1a", "v1a"]
        disabled = await request_as(webhooks_api, owner, "DELETE", "/secret/public-key")
        assert disabled.status_code == 204
        await request_as(webhooks_api, owner, "POST", "/webhook-send-test", json={"url": up.url})
    assert "v1a" not in up.requests[1].headers["webhook-signature"]


# ---------------------------------------------------------------------- log and replays


async def test_log_shows_only_a_keys_own_deliveries(
    webhooks_api: httpx2.AsyncClient, database: Database, case: CaseNumber, owner: Owner
) -> None:
    other = await new_owner(database)
    admin = await new_owner(database, role="admin")
    async with receiver() as up:
        event_id = await new_event(database, case, owner, up.url)
    number = {"process_number": case.masked}
    for who, ids in ((owner, [event_id]), (other, []), (admin, [event_id])):
        answer = await request_as(webhooks_api, who, "GET", "/deliveries", params=number)
        assert [item["id"] for item in answer.json()["items"]] == ids
        assert "in-the-query" not in answer.text
        assert "/hook" not in answer.text
    path = f"/deliveries/{event_id}/redeliver"
    problem(await request_as(webhooks_api, other, "POST", path), 404, "delivery-unknown")


async def test_log_is_paged_and_filtered(
    webhooks_api: httpx2.AsyncClient, database: Database, case: CaseNumber, owner: Owner
) -> None:
    async with receiver() as up:
        made = [await new_event(database, case, owner, up.url) for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await request_as(webhooks_api, owner, "GET", "/deliveries", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]
    pending = await request_as(
        webhooks_api, owner, "GET", "/deliveries", params={"status": "pending"}
    )
    assert len(pending.json()["items"]) == 5
    delivered = await request_as(
        webhooks_api, owner, "GET", "/deliveries", params={"status": "delivered"}
    )
    assert delivered.json()["items"] == []
    broken = await request_as(webhooks_api, owner, "GET", "/deliveries", params={"cursor": "x"})
    problem(broken, 400, "invalid-cursor")


async def test_redeliver_sends_the_same_event_again(
    webhooks_api: httpx2.AsyncClient,
    temporal: Client,
    database: Database,
    store: FakeStore,
    case: CaseNumber,
    owner: Owner,
) -> None:
    async with (
        receiver(status(200, b"thanks")) as up,
        webhook_worker(temporal, activities(database, store)),
    ):
        event_id = await new_event(database, case, owner, up.url)
        handle = temporal.get_workflow_handle(delivery_workflow_id(event_id))
        for count in (1, 2):
            answer = await request_as(
                webhooks_api, owner, "POST", f"/deliveries/{event_id}/redeliver"
            )
            assert (answer.status_code, answer.json()) == (202, {"id": event_id})
            await up.wait_for(count)
            async with asyncio.timeout(60):
                await handle.result()
    first, second = up.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == event_id
    assert json.loads(first.body)["timestamp"] == json.loads(second.body)["timestamp"]
    params = {"attempts": "true", "process_number": case.digits}
    log = await request_as(webhooks_api, owner, "GET", "/deliveries", params=params)
    (item,) = log.json()["items"]
    assert [one["number"] for one in item["attempts"]] == [1, 2]
    assert item["attempts"][0]["response_length"] == len(b"thanks")
    assert "thanks" not in log.text
    assert item["status"] == "delivered"


async def test_recover_sends_only_undelivered_events(
    webhooks_api: httpx2.AsyncClient,
    temporal: Client,
    database: Database,
    store: FakeStore,
    case: CaseNumber,
    owner: Owner,
) -> None:
    before = now()
    async with (
        receiver() as up,
        webhook_worker(temporal, activities(database, store)),
    ):
        other = await new_owner(database)
        await new_event(database, case, other, up.url)
        arrived, *missing = [await new_event(database, case, owner, up.url) for _ in range(4)]
        await request_as(webhooks_api, owner, "POST", f"/deliveries/{arrived}/redeliver")
        await up.wait_for(1)
        async with asyncio.timeout(60):
            await temporal.get_workflow_handle(delivery_workflow_id(arrived)).result()
        since = {"since": before.isoformat()}
        recovered = await request_as(webhooks_api, owner, "POST", "/recover", json=since)
        assert (recovered.status_code, recovered.json()) == (202, {"ids": missing, "next": None})
        await up.wait_for(4)
        for event_id in missing:
            async with asyncio.timeout(60):
                await temporal.get_workflow_handle(delivery_workflow_id(event_id)).result()
        nothing = await request_as(webhooks_api, owner, "POST", "/recover", json=since)
        assert nothing.json()["ids"] == []
    assert sorted(request.headers["webhook-id"] for request in up.requests) == sorted(
        [arrived, *missing]
    )
    assert len(await attempts_of(database, arrived)) == 1
    assert (await delivery_of(database, missing[0])).status == "delivered"
    later = {"since": (now() + timedelta(days=1)).isoformat()}
    assert (await request_as(webhooks_api, owner, "POST", "/recover", json=later)).json()[
        "ids"
    ] == []
    naive = await request_as(
        webhooks_api, owner, "POST", "/recover", json={"since": "2026-01-01T00:00"}
    )
    problem(naive, 422, "invalid-request")


async def test_redeliveries_of_an_event_are_limited(
    webhooks_api: httpx2.AsyncClient,
    temporal: Client,
    database: Database,
    case: CaseNumber,
    owner: Owner,
) -> None:
    """(S37) Each request adds an event to the history, even without a worker."""
    before = now()
    event_id, other = [
        await new_event(database, case, owner, "https://receiver.example/") for _ in range(2)
    ]
    path = f"/deliveries/{event_id}/redeliver"
    for _ in range(MOST_PER_HOUR):
        assert (await request_as(webhooks_api, owner, "POST", path)).status_code == 202
    for _ in range(3):
        refused = await request_as(webhooks_api, owner, "POST", path)
        problem(refused, 429, "redelivered-too-often")
        assert 3500 < int(refused.headers["retry-after"]) <= 3600
    recovered = await request_as(
        webhooks_api, owner, "POST", "/recover", json={"since": before.isoformat()}
    )
    assert recovered.json()["ids"] == [other]
    handle = temporal.get_workflow_handle(delivery_workflow_id(event_id))
    history = await handle.fetch_history()
    signals = [event for event in history.events if event.event_type == SIGNALED]
    assert len(signals) == MOST_PER_HOUR
    for stopped in (event_id, other):
        await temporal.get_workflow_handle(delivery_workflow_id(stopped)).terminate()


# ---------------------------------------------------------------------- OpenAPI


def test_openapi_describes_the_events() -> None:
    app = create_app(Settings())
    described = app.openapi()["webhooks"]
    endings = ("completed", "completed_with_failures", "failed", "cancelled")
    assert set(described) == {f"process.download.{end}" for end in endings} | {"webhook.test"}
    completed = json.dumps(described["process.download.completed"])
    assert "#/components/schemas/FullEvent" in completed
    assert "#/components/schemas/ThinEvent" in completed
    for header in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert header in completed
