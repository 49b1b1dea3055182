"""The signing secrets of API keys, sealed; who changes them holds the row meanwhile."""

import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.models import ApiKey


async def read(session: AsyncSession, api_key_id: uuid.UUID) -> dict[str, Any]:
    """What is stored; empty before the first secret."""
    query = select(ApiKey.webhook_secrets).where(ApiKey.id == api_key_id)
    stored: dict[str, Any] = (await session.execute(query)).scalar_one()
    return stored


async def hold(session: AsyncSession, api_key_id: uuid.UUID) -> ApiKey:
    """The key's row, locked to the end of the transaction; assign `webhook_secrets` to change it.

    Two that make the first secret at the same time must not make two.
    """
    query = select(ApiKey).where(ApiKey.id == api_key_id).with_for_update()
    return (await session.execute(query)).scalar_one()


async def find(session: AsyncSession, api_key_id: uuid.UUID) -> dict[str, Any] | None:
    """What is stored of a key that may not exist or be in force no more; then None."""
    row = await session.get(ApiKey, api_key_id)
    return row.webhook_secrets if row is not None and row.is_active else None
