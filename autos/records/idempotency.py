"""Requests that said they may be repeated, and what they were answered (IETF Idempotency-Key)."""

import uuid
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.models import IdempotencyKey, now

LIFETIME: Final = timedelta(hours=24)
ABANDONED: Final = timedelta(seconds=10)
"""A claim this old that was not renewed was left by a crash; nobody waits for it any longer."""


async def claim(
    session: AsyncSession, *, api_key_id: uuid.UUID, key: str, fingerprint: str
) -> IdempotencyKey | None:
    """Take the key for a request; None when it is ours now, else what holds it."""
    present = now()
    abandoned = and_(
        IdempotencyKey.status_code.is_(None), IdempotencyKey.created_at < present - ABANDONED
    )
    expired = IdempotencyKey.created_at < present - LIFETIME
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
        # Its holder may have failed and given it back in between.
        if held is not None:
            return held


async def renew(session: AsyncSession, *, api_key_id: uuid.UUID, key: str) -> None:
    """Say that the request still runs."""
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
    """Keep what the request was answered, for its repetitions."""
    await session.execute(
        update(IdempotencyKey)
        .where(_is(api_key_id, key))
        .values(status_code=status_code, answer=answer)
    )


async def release(session: AsyncSession, *, api_key_id: uuid.UUID, key: str) -> None:
    """Give the key back after a request that failed, so that it may be tried again."""
    await session.execute(delete(IdempotencyKey).where(_is(api_key_id, key)))


def _is(api_key_id: uuid.UUID, key: str) -> Any:
    return (IdempotencyKey.api_key_id == api_key_id) & (IdempotencyKey.key == key)
