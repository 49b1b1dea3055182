"""What the test receiver got: the newest few of each API key."""

import uuid
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.models import Receipt


async def keep(session: AsyncSession, receipt: Receipt, *, most: int) -> None:
    """Add one and let the oldest go, so that no more than `most` of its key remain."""
    session.add(receipt)
    await session.flush()
    kept = (
        select(Receipt.id)
        .where(Receipt.api_key_id == receipt.api_key_id)
        .order_by(Receipt.received_at.desc(), Receipt.id)
        .limit(most)
    )
    await session.execute(
        delete(Receipt).where(
            Receipt.api_key_id == receipt.api_key_id, Receipt.id.not_in(kept.scalar_subquery())
        )
    )


async def newest(session: AsyncSession, api_key_id: uuid.UUID) -> Sequence[Receipt]:
    """All that are kept of a key, newest first."""
    query = (
        select(Receipt)
        .where(Receipt.api_key_id == api_key_id)
        .order_by(Receipt.received_at.desc(), Receipt.id)
    )
    return (await session.scalars(query)).all()
