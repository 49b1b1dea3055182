"""Expired rows are deleted, a bounded number at a time, and never by a request."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select

from autos.cnj import CaseNumber
from autos.contracts.reconciliation import Kind
from autos.contracts.states import JobStatus
from autos.records import idempotency, reconciliation, subscriptions
from autos.records.database import Database
from autos.records.models import ApiKey, Attempt, IdempotencyKey, Receipt, now
from autos.settings import Settings
from tests.integration.api_parts import write_job

DAY = timedelta(days=1)


@pytest.fixture
async def key_id(database: Database) -> uuid.UUID:
    """A new API key."""
    key = ApiKey(name="test", prefix="autos_x", sha256=uuid.uuid4().hex * 2)
    async with database.transaction() as session:
        session.add(key)
    return key.id


async def kept(database: Database, key_id: uuid.UUID) -> Sequence[str]:
    """The stored idempotency keys."""
    async with database.transaction() as session:
        query = select(IdempotencyKey.key).where(IdempotencyKey.api_key_id == key_id)
        return (await session.scalars(query.order_by(IdempotencyKey.key))).all()


async def test_claim_deletes_no_other_expired_keys(database: Database, key_id: uuid.UUID) -> None:
    """(S37) A request does not wait for the deletion of all expired keys."""
    async with database.transaction() as session:
        session.add_all(
            IdempotencyKey(
                api_key_id=key_id,
                key=name,
                fingerprint="f" * 64,
                status_code=202,
                answer={},
                created_at=now() - 2 * DAY,
            )
            for name in ("mine", "other")
        )
    async with database.transaction() as session:
        claimed = await idempotency.claim(
            session, api_key_id=key_id, key="mine", fingerprint="0" * 64
        )
    assert claimed is None
    assert await kept(database, key_id) == ["mine", "other"]


async def test_oldest_rows_are_deleted_first_up_to_the_limit(
    database: Database, key_id: uuid.UUID
) -> None:
    """(S37) One page deletes a bounded number of expired rows."""
    async with database.transaction() as session:
        await session.execute(delete(IdempotencyKey))
        session.add_all(
            IdempotencyKey(
                api_key_id=key_id,
                key=f"{number}",
                fingerprint="f" * 64,
                created_at=now() - number * DAY,
            )
            for number in range(6)
        )
    kind = Kind.IDEMPOTENCY_KEY_EXPIRED
    lifetime = reconciliation.lifetimes(Settings())[kind] + DAY / 2
    async with database.transaction() as session:
        assert await reconciliation.count_expired(session, kind, lifetime) == 4
        gone = [
            await reconciliation.delete_expired(session, kind, lifetime, limit=3) for _ in range(3)
        ]
    assert gone == [3, 1, 0]
    assert await kept(database, key_id) == ["0", "1"]


async def test_attempts_and_receipts_are_kept_for_the_configured_time(
    database: Database, case: CaseNumber, key_id: uuid.UUID
) -> None:
    """(S37) 0 keeps them without limit."""
    job_id = await write_job(database, case, JobStatus.COMPLETED)
    async with database.transaction() as session:
        await session.execute(delete(Attempt))
        await session.execute(delete(Receipt))
        subscription = await subscriptions.add(
            session,
            process_number=case.digits,
            api_key_id=key_id,
            url="https://receiver.example/",
            payload="full",
        )
        (event,) = await subscriptions.claim(
            session, job_id, JobStatus.COMPLETED, [str(subscription.id)]
        )
        for number, days in enumerate((100, 50, 1)):
            age = now() - days * DAY
            session.add(
                Attempt(
                    delivery_id=event, number=number, origin=f"{number}", host="x", started_at=age
                )
            )
            session.add(
                Receipt(
                    api_key_id=key_id,
                    verified=True,
                    verdict="ok",
                    body="",
                    body_length=0,
                    received_at=age,
                )
            )
            await session.flush()
    assert set(reconciliation.lifetimes(Settings(attempts_days=0, receipts_days=0))) == {
        Kind.IDEMPOTENCY_KEY_EXPIRED
    }
    lifetimes = reconciliation.lifetimes(Settings(attempts_days=90, receipts_days=20))
    for kind, table, left in (
        (Kind.ATTEMPT_EXPIRED, Attempt, 2),
        (Kind.RECEIPT_EXPIRED, Receipt, 1),
    ):
        async with database.transaction() as session:
            assert await reconciliation.count_expired(session, kind, lifetimes[kind]) == 3 - left
            assert (
                await reconciliation.delete_expired(session, kind, lifetimes[kind], limit=10)
                == 3 - left
            )
            assert await session.scalar(select(func.count()).select_from(table)) == left
