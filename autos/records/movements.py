"""Movements of a process: kept in one column of its row, and read a page at a time.

They are numbered from the oldest, so that a number stays with its movement when the source adds
newer ones. The source gives movements no id: one that it removes or rewords moves the numbers of
those after it.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import column, func, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.models import Document, Process
from autos.source import ListedMovement


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement, with the document it brought in where the source links one."""

    position: int
    at: datetime | None
    text: str | None
    kind: str | None
    kind_code: int | None
    instance: str | None
    document_id: uuid.UUID | None
    """Ours; None also where the source withholds the document that it links."""
    document_uuid: str | None
    """The source's."""


def rows(listed: Sequence[ListedMovement]) -> list[dict[str, Any]]:
    """The column's value for a listing, which names the newest first."""
    return [
        {
            "at": movement.at.isoformat() if movement.at else None,
            "text": movement.text,
            "kind": movement.kind,
            "kind_code": movement.kind_code,
            "instance": movement.instance,
            "document": movement.document_id,
        }
        for movement in reversed(listed)
    ]


def read(row: Mapping[str, Any], position: int, documents: Mapping[str, uuid.UUID]) -> Movement:
    """A movement out of the column; `documents` are our ids by the source's."""
    at, linked = row.get("at"), row.get("document")
    return Movement(
        position=position,
        at=datetime.fromisoformat(at) if at else None,
        text=row.get("text"),
        kind=row.get("kind"),
        kind_code=row.get("kind_code"),
        instance=row.get("instance"),
        document_id=documents.get(linked) if linked else None,
        document_uuid=linked,
    )


def ids_by_source(documents: Iterable[Document]) -> dict[str, uuid.UUID]:
    """Our ids of documents, by every id that the source has for them."""
    return {
        source_id: row.id for row in documents for source_id in (row.source_id, *row.alternate_ids)
    }


async def page(
    session: AsyncSession, process_number: str, *, before: int | None, limit: int
) -> list[Movement]:
    """Movements as the source lists them, from the one below position `before` on."""
    each = (
        func.jsonb_array_elements(Process.movements)
        .table_valued(column("value", JSONB), with_ordinality="place")
        .render_derived()
    )
    query = (
        select(each.c.value, each.c.place)
        .select_from(Process)
        .join(each, true())
        .where(Process.number == process_number)
        .order_by(each.c.place.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(each.c.place <= before)
    found = [(value, place - 1) for value, place in await session.execute(query)]
    linked = [value["document"] for value, _ in found if value.get("document")]
    documents: dict[str, uuid.UUID] = {}
    if linked:
        known = select(Document).where(
            Document.process_number == process_number,
            or_(Document.source_id.in_(linked), Document.alternate_ids.overlap(linked)),
        )
        documents = ids_by_source(await session.scalars(known))
    return [read(value, position, documents) for value, position in found]


async def of(
    session: AsyncSession, process_number: str, documents: Iterable[Document]
) -> list[Movement]:
    """All movements, given all documents of the process."""
    kept = await session.scalar(select(Process.movements).where(Process.number == process_number))
    known = ids_by_source(documents)
    return [read(row, position, known) for position, row in reversed(list(enumerate(kept or [])))]
