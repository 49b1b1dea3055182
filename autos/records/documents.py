"""Documents of a process: read them, and record the outcomes of a job's attempts.

`autos.records.listings` writes what the source lists about them.

Functions that write may run twice with the same arguments and leave the same rows: Temporal runs
an activity again if its worker died.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import and_, bindparam, case, func, literal, not_, or_, select, true, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import BindParameter, ColumnElement

from autos.contracts.download import AVAILABLE, CHARACTERS, DOUBTFUL, FAILED, PENDING, PROCESSING
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.records.changes import announce, announce_jobs
from autos.records.models import Document, Job, now

_OBTAINABLE: Final = and_(Document.addresses != [], Document.vanished_at.is_(None))
"""True for a document that the source lists, with an address."""


class DocumentStates(NamedTuple):
    """The states of all documents of a process."""

    states: str
    """One character per document, by position (autos.contracts.download)."""
    bytes_stored: int

    @property
    def settled(self) -> bool:
        """True if no document remains to be downloaded."""
        return not self.states.strip(AVAILABLE + DOUBTFUL + FAILED)


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """The outcome of one attempt at a document; the fields are columns of its row.

    None in one of `_KEPT` leaves the column as it is.
    """

    document_id: uuid.UUID
    job_id: str
    state: DocumentState
    reason: Reason | None
    started_at: datetime
    completed_at: datetime | None = None
    sha256: str | None = None
    size: int | None = None
    content_type: str | None = None
    doubt: Doubt | None = None
    mismatch_sha256: str | None = None


# --------------------------------------------------------------------------------------- reading


async def page(
    session: AsyncSession,
    digits: str,
    *,
    state: DocumentState | None = None,
    start: int = 0,
    limit: int,
) -> Sequence[Document]:
    """Documents from a position on, in order."""
    query = (
        select(Document)
        .where(Document.process_number == digits, Document.position >= start)
        .order_by(Document.position)
        .limit(limit)
    )
    if state is not None:
        query = query.where(Document.state == state)
    return (await session.scalars(query)).all()


async def get(session: AsyncSession, digits: str, document_id: uuid.UUID) -> Document | None:
    """One document of a process, by its id here or at the source."""
    return await session.scalar(
        select(Document).where(
            Document.process_number == digits,
            or_(Document.id == document_id, Document.source_id == str(document_id)),
        )
    )


async def held(
    session: AsyncSession,
    digits: str,
    active_job: str | None,
    *,
    retry_doubtful: bool = False,
) -> DocumentStates:
    """Every document's state in one row, however many documents there are.

    Args:
        session: in a transaction.
        digits: the process's number.
        active_job: the running job's id. What failed in an earlier job then counts as pending,
            because this job retries it. None if no job runs; then nothing counts as processing.
        retry_doubtful: count a document stored with a doubt as pending if the source still lists
            it.
    """
    failed = Document.state == DocumentState.FAILED
    processing: ColumnElement[bool] = literal(False)
    if active_job is not None:
        failed = and_(failed, Document.job_id == active_job)
        processing = and_(Document.state == DocumentState.PROCESSING, Document.job_id == active_job)
    doubtful = and_(Document.is_available, Document.doubt.is_not(None))
    letter = case(
        (and_(doubtful, _OBTAINABLE) if retry_doubtful else literal(False), PENDING),
        (doubtful, DOUBTFUL),
        (Document.is_available, AVAILABLE),
        (failed, FAILED),
        (processing, PROCESSING),
        else_=PENDING,
    )
    states, stored = (
        await session.execute(
            select(
                func.string_agg(letter, aggregate_order_by(literal(""), Document.position)),
                func.sum(Document.size).filter(Document.is_available),
            ).where(Document.process_number == digits)
        )
    ).one()
    return DocumentStates(states or "", int(stored or 0))


def state_string(documents: Iterable[Document]) -> str:
    """One character per document; `documents` are in order of position."""
    return "".join(
        DOUBTFUL
        if document.is_available and document.doubt is not None
        else CHARACTERS[DocumentState(document.state)]
        for document in documents
    )


# ----------------------------------------------------------------------------------- during a job


async def start_documents(
    session: AsyncSession, job_id: str, digits: str, *, again: bool = False
) -> DocumentStates:
    """Set every document that this job must download to pending; return all states.

    A document without an address, or no longer listed, fails immediately. A second call of the same
    job keeps the outcomes so far, unless it retries failures (`again`). A document stored with a
    doubt keeps its row, but is returned as pending: each job downloads it once more. Rows that the
    session has loaded are not refreshed.
    """
    missing = and_(Document.process_number == digits, not_(Document.is_available))
    await session.execute(
        update(Document)
        .where(
            missing,
            true() if again else Document.job_id.is_distinct_from(job_id),
            _OBTAINABLE,
        )
        .values(state=DocumentState.PENDING, reason=None, attempts=0, job_id=job_id)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        update(Document)
        .where(missing, not_(_OBTAINABLE))
        .values(
            state=DocumentState.FAILED,
            reason=func.coalesce(Document.reason, Reason.NOT_FOUND.value),
            job_id=job_id,
        )
        .execution_options(synchronize_session=False)
    )
    started = await held(session, digits, job_id, retry_doubtful=True)
    await session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(
            status=JobStatus.PROCESSING,
            reason=None,
            completed_at=None,
            total_documents=len(started.states),
        )
    )
    await announce(session, digits)
    return started


async def wanted_documents(
    session: AsyncSession,
    digits: str,
    positions: Iterable[int],
    *,
    since: datetime | None = None,
) -> Sequence[Document]:
    """The documents at these positions; a failed one becomes pending.

    Args:
        session: in a transaction.
        digits: the process's number.
        positions: of the documents.
        since: when the batch was scheduled, if it runs again. What failed after that failed in
            this batch, and stays failed.
    """
    query = select(Document).where(
        Document.process_number == digits, Document.position.in_(list(positions))
    )
    rows = (await session.scalars(query)).all()
    for row in rows:
        ended_here = since is not None and row.completed_at is not None and row.completed_at > since
        if row.state == DocumentState.FAILED and not ended_here:
            row.state, row.reason, row.completed_at = DocumentState.PENDING, None, None
    return rows


async def reopen_failed(session: AsyncSession, job_id: str, *, until: datetime) -> None:
    """Set documents that failed in a running job before `until` to pending, visible immediately.

    The job was notified before; a document that fails after `until` has failed again.
    """
    number = select(Job.process_number).where(Job.id == job_id).scalar_subquery()
    await session.execute(
        update(Document)
        .where(
            Document.process_number == number,
            Document.job_id == job_id,
            Document.state == DocumentState.FAILED,
            Document.completed_at < until,
            _OBTAINABLE,
        )
        .values(state=DocumentState.PENDING, reason=None, completed_at=None)
    )
    await announce_jobs(session, [job_id])


_KEPT: Final = ("sha256", "size", "content_type", "mismatch_sha256")
"""Columns that an attempt without a value does not change: a newer version that cannot be
downloaded does not remove the stored one."""
_SET: Final = tuple(
    field.name for field in fields(DocumentRecord) if field.name not in ("document_id", *_KEPT)
)


def _new(name: str) -> BindParameter[Any]:
    """The parameter that holds a column's new value."""
    return bindparam(f"new_{name}", type_=Document.__table__.c[name].type)


_RECORD_ATTEMPT: Final = (
    update(Document.__table__)  # type: ignore[arg-type]  # declared as FromClause, is a Table
    .where(
        # Not by position: after a purge another document may have it.
        Document.id == bindparam("new_document_id"),
        # An attempt of an abandoned worker may end late. A stored document stays stored, unless it
        # is doubtful and the new one is no worse; a failed one does not become pending.
        or_(
            not_(Document.is_available),
            and_(
                Document.doubt.is_not(None),
                _new("state") == DocumentState.AVAILABLE.value,
                not_(
                    and_(
                        Document.doubt == Doubt.SIZE_MISMATCH,
                        func.coalesce(_new("doubt"), "") == Doubt.TEXT_ONLY,
                    )
                ),
            ),
        ),
        or_(
            Document.state != DocumentState.FAILED,
            _new("state") != DocumentState.PENDING.value,
        ),
    )
    .values(
        attempts=Document.attempts + 1,
        **{name: _new(name) for name in _SET},
        **{name: func.coalesce(_new(name), Document.__table__.c[name]) for name in _KEPT},
    )
)


async def record_attempts(session: AsyncSession, records: Sequence[DocumentRecord]) -> None:
    """Write the outcomes of several documents, in one round trip."""
    await (await session.connection()).execute(
        _RECORD_ATTEMPT,
        [{f"new_{name}": value for name, value in asdict(record).items()} for record in records],
    )
    await announce_jobs(session, [record.job_id for record in records])


async def settle_documents(
    session: AsyncSession,
    job_id: str,
    digits: str,
    states: str,
    reason: Reason | None,
    *,
    all_of_them: bool,
) -> list[Document]:
    """Fail the documents that the workflow abandoned; return all documents by position.

    Args:
        session: in a transaction.
        job_id: of the job that ends.
        digits: the process's number.
        states: the workflow's states; abandoned ones are `FAILED`.
        reason: set for documents that have no reason yet.
        all_of_them: fail every open document, whatever its state in the workflow.
    """
    given_up = [position for position, state in enumerate(states) if state == FAILED]
    await session.execute(
        update(Document)
        .where(
            Document.process_number == digits,
            Document.state.in_([DocumentState.PENDING, DocumentState.PROCESSING]),
            true() if all_of_them else Document.position.in_(given_up),
        )
        .values(
            state=DocumentState.FAILED,
            reason=func.coalesce(Document.reason, (reason or Reason.UNAVAILABLE).value),
            job_id=job_id,
            completed_at=now(),
        )
    )
    await announce(session, digits)
    query = select(Document).where(Document.process_number == digits).order_by(Document.position)
    return list((await session.scalars(query)).all())
