"""Documents of a process as the API reads them; the activities write them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, case, func, literal, or_, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.download import AVAILABLE, DOUBTFUL, FAILED, PENDING, PROCESSING
from autos.contracts.states import DocumentState
from autos.records.models import Document

ENDED: Final = AVAILABLE + DOUBTFUL + FAILED
"""The characters of documents of which nothing more is to come in their job."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the records know of a process's documents at one moment."""

    states: str
    """One character per document, by position (autos.contracts.download)."""
    bytes_stored: int

    @property
    def settled(self) -> bool:
        """True if no document is left to be asked for."""
        return not self.states.strip(ENDED)


async def held(session: AsyncSession, process_number: str, active_job: str | None) -> Held:
    """Every document's state as the records have it, in one row however many there are.

    While a job is active, a failure that an earlier job left behind counts as pending, for the
    active one will try again; with none active, nothing is being downloaded.
    """
    failed = Document.state == DocumentState.FAILED
    processing = Document.state == DocumentState.PROCESSING
    if active_job is not None:
        failed = and_(failed, Document.job_id == active_job)
        processing = and_(processing, Document.job_id == active_job)
    available = Document.state == DocumentState.AVAILABLE
    letter = case(
        (and_(available, Document.doubt.is_not(None)), DOUBTFUL),
        (available, AVAILABLE),
        (failed, FAILED),
        (processing if active_job is not None else literal(False), PROCESSING),
        else_=PENDING,
    )
    row = (
        await session.execute(
            select(
                func.string_agg(letter, aggregate_order_by(literal(""), Document.position)),
                func.sum(Document.size).filter(available),
            ).where(Document.process_number == process_number)
        )
    ).one()
    return Held(row[0] or "", int(row[1] or 0))


async def page(
    session: AsyncSession,
    process_number: str,
    *,
    state: DocumentState | None = None,
    start: int = 0,
    limit: int,
) -> Sequence[Document]:
    """Documents from a position on, in order."""
    query = (
        select(Document)
        .where(Document.process_number == process_number, Document.position >= start)
        .order_by(Document.position)
        .limit(limit)
    )
    if state is not None:
        query = query.where(Document.state == state)
    return (await session.scalars(query)).all()


async def get(
    session: AsyncSession, process_number: str, document_id: uuid.UUID
) -> Document | None:
    """One document of a process, by our id or by the source's."""
    return await session.scalar(
        select(Document).where(
            Document.process_number == process_number,
            or_(Document.id == document_id, Document.source_id == str(document_id)),
        )
    )
