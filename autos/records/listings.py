"""Writes what the source lists for a process into the rows of the process and its documents.

A field of `ListedDocument` or `ListedProcess` that has the name of a column is copied into that
column at each reading: a new field needs a column, its migration and the reader in `autos.source`,
and no change here.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import DocumentState
from autos.records import movements
from autos.records.models import Base, Document, Process, now
from autos.source import ListedDocument, ListedProcess


def _columns_of(listing: type[ListedDocument | ListedProcess], table: type[Base]) -> frozenset[str]:
    """The names that a listing's fields share with a table's columns."""
    return frozenset(field.name for field in fields(listing)) & set(table.__table__.columns.keys())


DOCUMENT_FIELDS: Final = _columns_of(ListedDocument, Document) - {"source_id", "alternate_ids"}
PROCESS_FIELDS: Final = _columns_of(ListedProcess, Process) - {"number", "movements"}
"""Fields that are copied at each reading. Other fields are written by specific code."""


async def save_listing(session: AsyncSession, listed: ListedProcess) -> None:
    """Update a process and its documents to the source's current listing.

    A document is recognized by any of its source ids. A new one gets the next free position: the
    first reading numbers them in the source's order, later ones follow. A document that is no
    longer listed is marked and kept. One whose listed size changed is pending again; its stored
    version is kept until the new one is stored.
    """
    digits = listed.number.digits
    # Serializes readings of one process, so that no position is used twice.
    process = (
        await session.execute(select(Process).where(Process.number == digits).with_for_update())
    ).scalar_one()
    rows = (await session.scalars(select(Document).where(Document.process_number == digits))).all()
    known = _recognize(listed.documents, rows)
    listed_rows: set[uuid.UUID] = set()
    position = max((row.position for row in rows), default=-1) + 1
    for document in listed.documents:
        row = known.get(document.source_id)
        if row is None:
            row = Document(
                id=uuid.uuid4(),
                process_number=digits,
                position=position,
                source_id=document.source_id,
                state=DocumentState.PENDING,
            )
            session.add(row)
            position += 1
        listed_rows.add(row.id)
        if row.is_available and _is_another_version(row, document):
            row.state, row.reason, row.doubt = DocumentState.PENDING, None, None
        _copy(document, row, DOCUMENT_FIELDS)
        source_ids = (document.source_id, *document.alternate_ids)
        row.alternate_ids = [other for other in source_ids if other != row.source_id]
        row.vanished_at = None
        if document.refusal is not None and not row.is_available:
            row.state, row.reason = DocumentState.FAILED, document.refusal
    for row in rows:
        if row.id not in listed_rows and row.vanished_at is None:
            row.vanished_at, row.source_order = now(), None
    _copy(listed, process, PROCESS_FIELDS)
    process.details = listed.metadata
    process.movements = movements.stored(listed.movements)
    process.total_documents = position
    process.fetched_at = now()


def _copy(listed: ListedDocument | ListedProcess, row: Base, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(listed, name)
        # Arrays are loaded as lists; another type would count as a change and be written.
        setattr(row, name, list(value) if isinstance(value, tuple) else value)


def _is_another_version(row: Document, listed: ListedDocument) -> bool:
    """True if the listed size, the only sign of changed content in a listing, has changed.

    If no size was listed before, the stored one is compared: not every court lists sizes, and some
    list them for new documents only (docs/source.md#documents).
    """
    known = row.size if row.expected_size is None else row.expected_size
    return listed.expected_size is not None and listed.expected_size != known


def _recognize(
    documents: Sequence[ListedDocument], rows: Sequence[Document]
) -> dict[str, Document]:
    """The existing row of each listed document, by the document's source id.

    No row stands for two documents: two listings that were taken for one document may later be
    listed apart, and then the second gets a new row.
    """
    by_id = {row.source_id: row for row in rows}
    by_alternate = {other: row for row in rows for other in row.alternate_ids}
    known: dict[str, Document] = {}
    taken: set[uuid.UUID] = set()
    for candidates in (by_id, by_alternate):
        for document in documents:
            if document.source_id in known:
                continue
            fitting = (candidates.get(i) for i in (document.source_id, *document.alternate_ids))
            row = next((row for row in fitting if row is not None and row.id not in taken), None)
            if row is not None:
                known[document.source_id] = row
                taken.add(row.id)
    return known
