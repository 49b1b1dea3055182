"""API keys of callers, and the sealed secrets that sign their webhooks.

Only a key's hash and its first letters are ever stored.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.database import keyset
from autos.records.models import ApiKey, now


async def by_hash(session: AsyncSession, sha256: str) -> ApiKey | None:
    """The key with this hash, active or not."""
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
    """Insert a new key."""
    key = ApiKey(name=name, role=role, prefix=prefix, sha256=sha256, expires_at=expires_at)
    session.add(key)
    await session.flush()
    return key


async def ensure_admin(session: AsyncSession, *, prefix: str, sha256: str) -> None:
    """Insert the bootstrap admin key unless it exists; a revoked one stays revoked."""
    await session.execute(
        insert(ApiKey)
        .values(name="bootstrap", role="admin", prefix=prefix, sha256=sha256)
        .on_conflict_do_nothing(index_elements=[ApiKey.sha256])
    )


async def page(
    session: AsyncSession, *, after: tuple[datetime, uuid.UUID] | None, limit: int
) -> Sequence[ApiKey]:
    """Keys, oldest first, after the given one."""
    query = keyset(select(ApiKey), (ApiKey.created_at, ApiKey.id), after, limit)
    return (await session.scalars(query)).all()


async def revoke(session: AsyncSession, key_id: uuid.UUID) -> ApiKey | None:
    """Revoke a key; None if there is no such key. The row stays, because its jobs refer to it."""
    revoked = await session.scalar(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now())
        .returning(ApiKey)
    )
    return revoked or await session.get(ApiKey, key_id)


async def webhook_secrets(session: AsyncSession, key_id: uuid.UUID) -> dict[str, Any]:
    """A key's sealed secrets; empty before the first one.

    Raises:
        NoResultFound: there is no such key.
    """
    query = select(ApiKey.webhook_secrets).where(ApiKey.id == key_id)
    stored: dict[str, Any] = (await session.execute(query)).scalar_one()
    return stored


async def active_webhook_secrets(session: AsyncSession, key_id: uuid.UUID) -> dict[str, Any] | None:
    """A key's sealed secrets; None if there is no such key, or if it is not active."""
    row = await session.get(ApiKey, key_id)
    return row.webhook_secrets if row is not None and row.is_active else None


async def lock(session: AsyncSession, key_id: uuid.UUID) -> ApiKey:
    """A key's row, locked to the end of the transaction; assign `webhook_secrets` to change them.

    The lock keeps two requests from each creating a first secret.

    Raises:
        NoResultFound: there is no such key.
    """
    query = select(ApiKey).where(ApiKey.id == key_id).with_for_update()
    return (await session.execute(query)).scalar_one()
