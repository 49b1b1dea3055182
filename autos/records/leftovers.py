"""What has outlived its lifetime, found and deleted a page at a time.

No request deletes what is another one's: it is a reconciliation that comes by here, and each of its
pages costs the same, however much is left over.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from autos.contracts.reconciliation import Kind
from autos.records.idempotency import LIFETIME
from autos.records.models import Attempt, IdempotencyKey, Receipt, now
from autos.settings import Settings

Column = InstrumentedAttribute[Any]


class _Table(NamedTuple):
    key: tuple[Column, ...]
    made_at: Column
    order: Column
    """Finds the oldest without a search of the whole table."""


_TABLES: Mapping[Kind, _Table] = {
    Kind.IDEMPOTENCY_KEY_EXPIRED: _Table(
        (IdempotencyKey.api_key_id, IdempotencyKey.key),
        IdempotencyKey.created_at,
        IdempotencyKey.created_at,
    ),
    Kind.ATTEMPT_EXPIRED: _Table((Attempt.id,), Attempt.started_at, Attempt.id),
    # Few of each API key.
    Kind.RECEIPT_EXPIRED: _Table((Receipt.id,), Receipt.received_at, Receipt.received_at),
}


def lifetimes(settings: Settings) -> dict[Kind, timedelta]:
    """How long each kind is kept; what is kept for ever is left out."""
    days = {
        Kind.ATTEMPT_EXPIRED: settings.attempts_days,
        Kind.RECEIPT_EXPIRED: settings.receipts_days,
    }
    return {
        Kind.IDEMPOTENCY_KEY_EXPIRED: LIFETIME,
        **{kind: timedelta(days=number) for kind, number in days.items() if number},
    }


async def count(session: AsyncSession, kind: Kind, lifetime: timedelta) -> int:
    """How many are older than that."""
    query = select(func.count()).where(_TABLES[kind].made_at < now() - lifetime)
    return await session.scalar(query) or 0


async def remove(session: AsyncSession, kind: Kind, lifetime: timedelta, *, limit: int) -> int:
    """Delete the oldest, if they are older than that, and no more than `limit`; how many."""
    key, made_at, order = _TABLES[kind]
    oldest = select(*key, made_at.label("made_at")).order_by(order).limit(limit).subquery()
    doomed = select(*(oldest.c[column.key] for column in key)).where(
        oldest.c.made_at < now() - lifetime
    )
    gone = await session.scalars(
        delete(made_at.class_).where(tuple_(*key).in_(doomed)).returning(made_at)
    )
    return len(gone.all())
