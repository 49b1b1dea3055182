"""Requests with an `Idempotency-Key`, and their answers (IETF draft)."""

import uuid
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from autos.records.models import IdempotencyKey, now

KEY_LIFETIME: Final = timedelta(hours=24)
"""How long an answer is kept."""
CLAIM_TIMEOUT: Final = timedelta(seconds=10)
"""A claim that was not renewed for this long was left by a crash and may be taken over."""


async def claim(
    session: AsyncSession, *, api_key_id: uuid.UUID, key: str, fingerprint: str
) -> IdempotencyKey | None:
    """Take the key for a request; None on success, else the row that holds it."""
    present = now()
    abandoned = and_(
        IdempotencyKey.status_code.is_(None), IdempotencyKey.created_at < present - CLAIM_TIMEOUT
    )
    expired = IdempotencyKey.created_at < present - KEY_LIFETIME
    await session.execute(
        delete(IdempotencyKey).where(_is(api_key_id, key), or_(abandoned, expired))
    )
    while True:
        claimed = await session.scalar(
            insert(IdempotencyKey)
            .values(api_key_id=api_key_id, key=key, fingerprint=fingerprint, created_at=present)
            .on_conflict_do_nothing()
            .returning(IdempotencyKey.key)
        )
        if claimed is not None:
            return None
        held = await session.scalar(select(IdempotencyKey).where(_is(api_key_id, key)))
        # None if its holder failed and released it in between.
        if held is not None:
            return held


async def renew(session: AsyncSession, *, api_key_id: uuid.UUID, key: str) -> None:
    """Keep the claim of a request that is still running."""
    await session.execute(
        update(IdempotencyKey)
        .where(_is(api_key_id, key), IdempotencyKey.status_code.is_(None))
        .values(created_at=now())
    )


async def answer(
    session: AsyncSession,
    *,
    api_key_id: uuid.UUID,
    key: str,
    status_code: int,
    answer: dict[str, Any],
) -> None:
    """Store the request's answer for its repetitions."""
    await session.execute(
        update(IdempotencyKey)
        .where(_is(api_key_id, key))
        .values(status_code=status_code, answer=answer)
    )


async def release(session: AsyncSession, *, api_key_id: uuid.UUID, key: str) -> None:
    """Delete the claim of a request that failed, so that it may be repeated."""
    await session.execute(delete(IdempotencyKey).where(_is(api_key_id, key)))


def _is(api_key_id: uuid.UUID, key: str) -> ColumnElement[bool]:
    return and_(IdempotencyKey.api_key_id == api_key_id, IdempotencyKey.key == key)
