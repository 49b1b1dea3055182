"""`Idempotency-Key`: a repeated request has the effect of one (IETF draft)."""

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import select, update
from temporalio.client import Client

from autos.cnj import CaseNumber
from autos.contracts.download import Attach
from autos.records.database import Database
from autos.records.idempotency import CLAIM_TIMEOUT, KEY_LIFETIME
from autos.records.models import IdempotencyKey, Subscription, now
from tests.integration.api_parts import end, job_of, job_started, path, problem

pytestmark = pytest.mark.usefixtures("worker")

BODY = {"webhook_url": "https://receiver.example/"}


async def attached(temporal: Client, case: CaseNumber) -> list[Attach]:
    """The signals that the running job got."""
    job_options: list[Attach] = await job_of(temporal, case).query(
        "attached", result_type=list[Attach]
    )
    return job_options


async def age(database: Database, key: str, by: timedelta, *, answered: bool = True) -> None:
    """Make a stored answer older; unanswered, as a killed API process leaves it."""
    lost = {} if answered else {"status_code": None, "answer": None}
    async with database.transaction() as session:
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.key == key)
            .values(created_at=now() - by, **lost)
        )


async def claimed_at(database: Database, key: str) -> datetime:
    """When the key was claimed or last renewed."""
    async with database.transaction() as session:
        query = select(IdempotencyKey.created_at).where(IdempotencyKey.key == key)
        return (await session.scalars(query)).one()


async def test_repeated_request_gets_the_same_response(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"webhook_url": "https://receiver.example/"}
    first = await api.post(path(case, "/downloads"), json=body, headers=headers)
    again = await api.post(path(case, "/downloads"), json=body, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert len(await job_of(temporal, case).query("attached", result_type=list[Attach])) == 1
    other = await api.post(path(case, "/downloads"), json={}, headers=headers)
    problem(other, 422, "idempotency-key-reused")


async def test_repetition_during_the_first_request_is_a_conflict(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    waiting = asyncio.create_task(
        api.post(path(case, "/downloads"), headers={**key, "Prefer": "wait=20"})
    )
    await job_started(api, case)
    repeated = await api.post(path(case, "/downloads"), headers=key)
    problem(repeated, 409, "idempotency-key-in-use")
    await end(temporal, database, case)
    assert (await waiting).status_code == 200


async def test_long_request_keeps_its_key(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    temporal: Client,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A renewed claim was not left by a crash, regardless of its age."""
    monkeypatch.setattr("api.http.idempotency.RENEWAL_SECONDS", 0.05)
    key = str(uuid4())
    headers = {"Idempotency-Key": key}
    waiting = asyncio.create_task(
        api.post(path(case, "/downloads"), headers={**headers, "Prefer": "wait=20"})
    )
    await job_started(api, case)
    await age(database, key, CLAIM_TIMEOUT, answered=False)
    async with asyncio.timeout(60):
        while await claimed_at(database, key) < now() - CLAIM_TIMEOUT / 2:
            await asyncio.sleep(0.05)
    problem(
        await api.post(path(case, "/downloads"), headers=headers), 409, "idempotency-key-in-use"
    )
    await end(temporal, database, case)
    assert (await waiting).status_code == 200


async def test_malformed_key_is_rejected(api: httpx2.AsyncClient, case: CaseNumber) -> None:
    response = await api.post(path(case, "/downloads"), headers={"Idempotency-Key": "k" * 256})
    problem(response, 400, "invalid-idempotency-key")


async def test_keys_of_different_callers_are_independent(
    api: httpx2.AsyncClient, case: CaseNumber
) -> None:
    created = await api.post("/api/v1/api-keys", json={"name": "other"})
    other = {"Authorization": f"Bearer {created.json()['key']}"}
    key = {"Idempotency-Key": str(uuid4())}
    assert (await api.post(path(case, "/downloads"), json=BODY, headers=key)).status_code == 202
    answer = await api.post(path(case, "/downloads"), headers=key | other)
    assert answer.status_code == 202


async def test_rejected_request_frees_its_key(api: httpx2.AsyncClient, case: CaseNumber) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    wrong = {"webhook_url": "https://user:password@receiver.example/"}
    problem(
        await api.post(path(case, "/downloads"), json=wrong, headers=key), 422, "invalid-request"
    )
    answer = await api.post(path(case, "/downloads"), json=BODY, headers=key)
    assert answer.status_code == 202


async def test_key_is_valid_for_a_day(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    key = str(uuid4())
    headers = {"Idempotency-Key": key}
    await api.post(path(case, "/downloads"), json=BODY, headers=headers)
    minute = timedelta(minutes=1)
    await age(database, key, KEY_LIFETIME - minute)
    await api.post(path(case, "/downloads"), json=BODY, headers=headers)
    assert len(await attached(temporal, case)) == 1
    await age(database, key, KEY_LIFETIME + minute)
    await api.post(path(case, "/downloads"), json=BODY | {"payload": "thin"}, headers=headers)
    assert len(await attached(temporal, case)) == 2


async def test_repetition_after_a_crash_uses_the_same_subscription(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """F11: the job was signalled but the response not stored; the URL gets one event."""
    key = str(uuid4())
    headers = {"Idempotency-Key": key}
    first = await api.post(path(case, "/downloads"), json=BODY, headers=headers)
    await age(database, key, timedelta(0), answered=False)
    # The first request may still be running.
    early = await api.post(path(case, "/downloads"), json=BODY, headers=headers)
    problem(early, 409, "idempotency-key-in-use")
    assert int(early.headers["retry-after"]) >= 1
    await age(database, key, CLAIM_TIMEOUT, answered=False)
    again = await api.post(path(case, "/downloads"), json=BODY, headers=headers)
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    one, other = await attached(temporal, case)
    assert one.subscription_id == other.subscription_id is not None
    await end(temporal, database, case)
    async with database.transaction() as session:
        query = select(Subscription).where(Subscription.process_number == case.digits)
        (subscription,) = await session.scalars(query)
        # As the job's end leaves it.
        subscription.job_id = first.json()["job_id"]
    await age(database, key, CLAIM_TIMEOUT, answered=False)
    late = await api.post(path(case, "/downloads"), json=BODY, headers=headers)
    assert (late.status_code, late.json()["job_id"]) == (200, first.json()["job_id"])
    assert (await job_of(temporal, case).describe()).run_id == first.json()["job_id"]
