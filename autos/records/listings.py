"""What the source lists for a process, brought into its rows."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import DocumentState
from autos.records import movements
from autos.records.models import Document, Process, now
from autos.source import ListedDocument, ListedProcess


async def metadata_is_fresh(session: AsyncSession, digits: str, max_age: timedelta) -> bool:
    """True when the held copy of the metadata is younger than `max_age`."""
    fetched_at = await session.scalar(select(Process.fetched_at).where(Process.number == digits))
    return fetched_at is not None and now() - fetched_at < max_age


async def save_listing(session: AsyncSession, listed: ListedProcess) -> None:
    """Bring a process and the list of its documents to what the source says now.

    A document is recognised by any of its source ids. A new one gets the next free position: the
    first reading numbers them as the source lists them, and what is listed later comes after. One
    that the source no longer lists is marked and kept; one that it lists in another size than
    before is to be had again, and what is held of it stays until then.
    """
    digits = listed.number.digits
    # Two listings of one process must not hand out the same position.
    process = (
        await session.execute(select(Process).where(Process.number == digits).with_for_update())
    ).scalar_one()
    rows = (await session.scalars(select(Document).where(Document.process_number == digits))).all()
    known = _recognised(listed.documents, rows)
    listed_rows: set[uuid.UUID] = set()
    position = max((row.position for row in rows), default=-1) + 1
    for document in listed.documents:
        source_ids = (document.source_id, *document.alternate_ids)
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
        if row.is_available and _lists_another_version(row, document):
            row.state, row.reason, row.doubt = DocumentState.PENDING, None, None
        row.alternate_ids = [other for other in source_ids if other != row.source_id]
        row.addresses = list(document.addresses)
        row.name = document.name
        row.kind = document.kind
        row.kind_code = document.kind_code
        row.instance = document.instance
        row.origin_id = document.origin_id
        row.sequence = document.sequence
        row.secrecy = document.secrecy
        row.filed_at = document.filed_at
        row.declared_type = document.declared_type
        row.expected_size = document.expected_size
        row.source_order = document.source_order
        row.vanished_at = None
        if document.refusal is not None and row.state != DocumentState.AVAILABLE:
            row.state, row.reason = DocumentState.FAILED, document.refusal
    for row in rows:
        if row.id not in listed_rows and row.vanished_at is None:
            row.vanished_at, row.source_order = now(), None
    process.class_name = listed.class_name
    process.subjects = list(listed.subjects)
    process.judging_body = listed.judging_body
    process.secrecy_level = listed.secrecy_level
    process.filed_at = listed.filed_at
    process.details = listed.metadata
    process.movements = movements.rows(listed.movements)
    process.total_documents = position
    process.fetched_at = now()


def _lists_another_version(row: Document, listed: ListedDocument) -> bool:
    """True if the size, the only mark of a document's content in a listing, is another than before.

    Where none was listed before, the size of what is stored stands for it: not every court lists
    sizes, and some list them for new documents only (docs/source.md#documents).
    """
    known = row.size if row.expected_size is None else row.expected_size
    return listed.expected_size is not None and listed.expected_size != known


def _recognised(
    documents: Sequence[ListedDocument], rows: Sequence[Document]
) -> dict[str, Document]:
    """The row of each listed document that has one, by the document's source id.

    No row stands for two documents: what was taken for two listings of one document may be listed
    as two another day, and then the second gets a row of its own.
    """
    by_id = {row.source_id: row for row in rows}
    by_alternate = {other: row for row in rows for other in row.alternate_ids}
    known: dict[str, Document] = {}
    taken: set[uuid.UUID] = set()
    for place in (by_id, by_alternate):
        for document in documents:
            if document.source_id in known:
                continue
            fitting = (place.get(i) for i in (document.source_id, *document.alternate_ids))
            row = next((row for row in fitting if row is not None and row.id not in taken), None)
            if row is not None:
                known[document.source_id] = row
                taken.add(row.id)
    return known
