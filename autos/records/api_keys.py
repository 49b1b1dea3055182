"""Callers of the API: only a key's hash and its first letters are ever kept (F36)."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.models import ApiKey, now


async def by_hash(session: AsyncSession, sha256: str) -> ApiKey | None:
    """The caller whose key has this hash, active or not."""
    return await session.scalar(select(ApiKey).where(ApiKey.sha256 == sha256))


async def add(
    session: AsyncSession,
    *,
    name: str,
    role: str,
    prefix: str,
    sha256: str,
    expires_at: datetime | None = None,
) -> ApiKey:
    """Record a new caller."""
    key = ApiKey(name=name, role=role, prefix=prefix, sha256=sha256, expires_at=expires_at)
    session.add(key)
    await session.flush()
    return key


async def ensure_admin(session: AsyncSession, *, prefix: str, sha256: str) -> None:
    """Record the bootstrap admin key unless it is there; a revoked one stays revoked."""
    await session.execute(
        insert(ApiKey)
        .values(
            id=uuid.uuid4(),
            name="bootstrap",
            role="admin",
            prefix=prefix,
            sha256=sha256,
            webhook_secrets={},
            created_at=now(),
        )
        .on_conflict_do_nothing(index_elements=[ApiKey.sha256])
    )


async def page(
    session: AsyncSession, *, after: tuple[datetime, uuid.UUID] | None, limit: int
) -> Sequence[ApiKey]:
    """Callers, oldest first, after the given one."""
    query = select(ApiKey).order_by(ApiKey.created_at, ApiKey.id).limit(limit)
    if after is not None:
        query = query.where(tuple_(ApiKey.created_at, ApiKey.id) > after)
    return (await session.scalars(query)).all()


async def revoke(session: AsyncSession, key_id: uuid.UUID) -> ApiKey | None:
    """Take a caller's access away; None if there is no such caller. The row stays, for its jobs."""
    revoked = await session.scalar(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now())
        .returning(ApiKey)
    )
    return revoked or await session.get(ApiKey, key_id)
