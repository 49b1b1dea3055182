"""One delivery attempt: the request, the records, and no leaks."""

import json
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.webhooks import WebhookActivities
from autos.cnj import CaseNumber
from autos.contracts.deliveries import AttemptDelivery, AttemptedDelivery, DeliveryOutcome
from autos.contracts.states import JobStatus
from autos.records import api_keys
from autos.records.database import Database
from autos.records.models import now
from autos.webhooks.address_guard import GuardedTransport
from tests.integration.api_parts import FakeStore, write_rows
from tests.integration.webhooks.parts import (
    Owner,
    activities,
    attempts_of,
    delivery_of,
    job_of_event,
    new_event,
    secrets_of_owner,
    verify,
)
from tests.unit.webhooks.receiver import (
    Answer,
    drop,
    flood,
    hang,
    receiver,
    status,
)


async def attempt(
    made: WebhookActivities, event_id: str, number: int = 1, *, last: bool = False, run: str = "run"
) -> AttemptedDelivery:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_run_id=run)
    delays = {} if last else {"delay_seconds": 5.0, "longest_delay_seconds": 1000.0}
    return await environment.run(
        made.attempt_delivery, AttemptDelivery(event_id=event_id, number=number, **delays)
    )


async def test_signed_event_is_delivered_and_recorded(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    async with receiver() as up:
        event_id = await new_event(database, case, owner, up.url)
        result = await attempt(activities(database, store), event_id)
    assert result == AttemptedDelivery(outcome=DeliveryOutcome.DELIVERED, status_code=204)
    (secret,) = await secrets_of_owner(database, owner)
    event = verify(secret, up.requests[0])
    assert event["type"] == "process.download.completed_with_failures"
    assert up.requests[0].headers["webhook-id"] == event_id
    assert up.requests[0].headers["host"] == f"127.0.0.1:{up.port}"
    data = event["data"]
    assert isinstance(data, dict)
    assert data["process_number"] == case.masked
    assert [document["status"] for document in data["documents"]] == [
        "available",
        "available",
        "failed",
    ]
    delivery = await delivery_of(database, event_id)
    assert (delivery.status, delivery.attempts, delivery.last_error) == ("delivered", 1, None)
    assert delivery.delivered_at is not None
    assert delivery.next_attempt_at is None
    (row,) = await attempts_of(database, event_id)
    assert (row.number, row.host, row.status_code, row.error) == (1, "127.0.0.1", 204, None)


async def test_every_attempt_has_new_links_and_signatures(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    made = activities(database, store)
    async with receiver(status(500)) as up:
        event_id = await new_event(database, case, owner, up.url)
        for number in (1, 2):
            await attempt(made, event_id, number)
    (secret,) = await secrets_of_owner(database, owner)
    first, second = (verify(secret, request) for request in up.requests)
    assert first["timestamp"] == second["timestamp"]
    assert isinstance(first["data"], dict)
    assert isinstance(second["data"], dict)
    assert first["data"]["manifest_url"] != second["data"]["manifest_url"]
    assert {request.headers["webhook-id"] for request in up.requests} == {event_id}


@pytest.mark.parametrize(
    ("answer", "outcome", "code", "error"),
    [
        (status(500), DeliveryOutcome.FAILED, 500, "status"),
        (hang, DeliveryOutcome.FAILED, None, "timeout"),
        (drop, DeliveryOutcome.FAILED, None, "protocol"),
        (flood, DeliveryOutcome.DELIVERED, 200, None),
        (status(302, Location="http://127.0.0.1/"), DeliveryOutcome.FAILED, 302, "redirect"),
        (status(410), DeliveryOutcome.GONE, 410, "gone"),
        (status(429, Retry_After="77"), DeliveryOutcome.FAILED, 429, "status"),
    ],
)
async def test_response_of_the_receiver_decides_the_outcome(
    database: Database,
    store: FakeStore,
    case: CaseNumber,
    owner: Owner,
    answer: Answer,
    outcome: DeliveryOutcome,
    code: int | None,
    error: str | None,
) -> None:
    async with receiver(answer) as up:
        event_id = await new_event(database, case, owner, up.url)
        before = await job_of_event(database, event_id)
        result = await attempt(activities(database, store, timeout=0.4), event_id)
    assert (result.outcome, result.status_code) == (outcome, code)
    waits = {DeliveryOutcome.FAILED: 77.0 if code == 429 else 5.0}.get(outcome)
    assert result.retry_in_seconds == waits
    assert len(up.requests) == 1
    delivery = await delivery_of(database, event_id)
    assert delivery.last_error == error
    ended = {DeliveryOutcome.DELIVERED: "delivered", DeliveryOutcome.GONE: "failed"}
    assert delivery.status == ended.get(outcome, "pending")
    if waits is not None:
        assert delivery.next_attempt_at is not None
        wait = delivery.next_attempt_at - now()
        assert timedelta(seconds=waits - 3) < wait <= timedelta(seconds=waits)
    (row,) = await attempts_of(database, event_id)
    assert (row.status_code, row.error) == (code, error)
    assert (row.response_length or 0) <= 65_536
    assert len(row.response_excerpt or b"") <= 2048
    after = await job_of_event(database, event_id)
    assert (after.status, after.completed_at) == (before.status, before.completed_at)


async def test_last_attempt_fails_the_delivery(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    async with receiver(status(500)) as up:
        event_id = await new_event(database, case, owner, up.url)
        result = await attempt(activities(database, store), event_id, last=True)
    assert result.retry_in_seconds is None
    assert (await delivery_of(database, event_id)).status == "failed"


async def test_repeated_attempt_has_one_row_and_one_id(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    made = activities(database, store)
    async with receiver() as up:
        event_id = await new_event(database, case, owner, up.url)
        for _ in range(2):
            await attempt(made, event_id, 1)
    assert [request.headers["webhook-id"] for request in up.requests] == [event_id, event_id]
    assert [row.number for row in await attempts_of(database, event_id)] == [1]
    assert (await delivery_of(database, event_id)).attempts == 1


async def test_redelivery_continues_the_count_and_keeps_the_success(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    made = activities(database, store)
    async with receiver() as up:
        up.script = [status(204), status(500)]
        event_id = await new_event(database, case, owner, up.url)
        await attempt(made, event_id, 1, run="first run")
        await attempt(made, event_id, 1, run="second run", last=True)
    assert [row.number for row in await attempts_of(database, event_id)] == [1, 2]
    delivery = await delivery_of(database, event_id)
    assert (delivery.status, delivery.last_error) == ("delivered", "status")
    first, second = (json.loads(request.body) for request in up.requests)
    assert first["timestamp"] == second["timestamp"]


async def test_webhook_of_a_revoked_key_is_still_delivered(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    async with receiver() as up:
        event_id = await new_event(database, case, owner, up.url)
        async with database.transaction() as session:
            await api_keys.revoke(session, owner.id)
        result = await attempt(activities(database, store), event_id)
    assert result.outcome is DeliveryOutcome.DELIVERED
    (secret,) = await secrets_of_owner(database, owner)
    verify(secret, up.requests[0])


async def test_purged_event_is_not_delivered(database: Database, store: FakeStore) -> None:
    result = await attempt(activities(database, store), f"evt_{uuid.uuid4().hex}")
    assert result == AttemptedDelivery(outcome=DeliveryOutcome.PURGED)


async def test_private_address_gets_no_request(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    carrier = GuardedTransport(allow_private=False)
    async with receiver() as up:
        event_id = await new_event(database, case, owner, up.url)
        result = await attempt(activities(database, store, carrier=carrier), event_id)
    assert result.outcome is DeliveryOutcome.FAILED
    assert (await delivery_of(database, event_id)).last_error == "blocked"
    assert up.requests == []


@pytest.mark.parametrize(
    ("payload", "states", "documents"), [("thin", "aa", None), ("full", "a" * 1001, None)]
)
async def test_thin_and_large_payloads_have_no_document_list(
    database: Database,
    store: FakeStore,
    case: CaseNumber,
    owner: Owner,
    payload: str,
    states: str,
    documents: None,
) -> None:
    async with receiver() as up:
        event_id = await new_event(
            database,
            case,
            owner,
            up.url,
            payload=payload,
            states=states,
            status=JobStatus.COMPLETED,
        )
        await attempt(activities(database, store), event_id)
    data = json.loads(up.requests[0].body)["data"]
    assert data.get("documents") is documents
    assert data["payload"] == payload
    assert len(up.requests[0].body) < 2000


async def test_response_excerpt_is_stored_without_links(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    echo = b'{"you sent": "https:\\/\\/store.example\\/a?X-Amz-Signature=1"}'
    async with receiver(status(500, echo)) as up:
        event_id = await new_event(database, case, owner, up.url)
        await attempt(activities(database, store), event_id)
    (row,) = await attempts_of(database, event_id)
    assert row.response_excerpt is not None
    assert b"you sent" in row.response_excerpt
    assert b"X-Amz-Signature" not in row.response_excerpt


async def test_later_attempt_has_the_current_documents(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    made = activities(database, store)
    async with receiver(status(500)) as up:
        event_id = await new_event(database, case, owner, up.url, states="af")
        await attempt(made, event_id)
        await write_rows(database, case, "aa")
        await attempt(made, event_id, 2)
    first, second = (json.loads(request.body)["data"] for request in up.requests)
    assert [document["status"] for document in first["documents"]] == ["available", "failed"]
    assert [document["status"] for document in second["documents"]] == ["available", "available"]
    assert first["status"] == second["status"]
