"""Movements of a process: kept in one JSON column of its row, and read a page at a time.

They are numbered from the oldest, so a number stays with its movement when the source adds newer
ones. The source gives movements no id: removing or rewording one moves the numbers of those after
it.

A stored movement is a JSON object with the fields of `ListedMovement` (`at` in ISO 8601). One that
is read also has its `position`, in `document_uuid` the source's id of the document that it brought
in, and in `document_id` our id of it, None also where the source withholds the document. A new
field of `ListedMovement` needs no change here.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import column, func, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.models import Document, Process
from autos.source import ListedMovement

Movement = dict[str, Any]

_FIELDS: Final = tuple(field.name for field in fields(ListedMovement) if field.name != "sequence")
"""The stored fields of a movement. Its position replaces the source's sequence, which only some
movements have."""


def stored(listed: Sequence[ListedMovement]) -> list[Movement]:
    """The column's value for a listing, which names the newest first."""
    return [
        {name: getattr(movement, name) for name in _FIELDS}
        | {"at": movement.at.isoformat() if movement.at else None}
        for movement in reversed(listed)
    ]


def read(kept: Movement, position: int, documents: Mapping[str, uuid.UUID]) -> Movement:
    """A movement out of the column; `documents` are our ids by the source's."""
    linked = _linked(kept)
    return {
        "position": position,
        # A movement that was stored before a field was added has none of that name.
        **{name: kept.get(name) for name in _FIELDS},
        "document_id": documents.get(linked) if linked else None,
        "document_uuid": linked,
    }


def _linked(kept: Movement) -> str | None:
    """The source's id of the document that a stored movement brought in."""
    # The second name is the one in movements that were stored before version 1.0.
    linked: str | None = kept.get("document_id") or kept.get("document")
    return linked


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
    found = [(kept, place - 1) for kept, place in await session.execute(query)]
    linked = [source_id for kept, _ in found if (source_id := _linked(kept))]
    known = select(Document).where(
        Document.process_number == process_number,
        or_(Document.source_id.in_(linked), Document.alternate_ids.overlap(linked)),
    )
    documents = ids_by_source(await session.scalars(known)) if linked else {}
    return [read(kept, position, documents) for kept, position in found]


async def of(
    session: AsyncSession, process_number: str, documents: Iterable[Document]
) -> list[Movement]:
    """All movements, given all documents of the process."""
    kept = await session.scalar(select(Process.movements).where(Process.number == process_number))
    known = ids_by_source(documents)
    return [read(one, position, known) for position, one in reversed(list(enumerate(kept or [])))]
