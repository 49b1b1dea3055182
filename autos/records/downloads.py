"""What the activities of a job read and write: the documents, and the job's own row.

Every function may run twice with the same arguments and leaves the same rows: an activity whose
worker died is run again from its start.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    String,
    Text,
    and_,
    bindparam,
    func,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.cnj import CaseNumber
from autos.contracts.download import CHARACTERS, DOUBTFUL, FAILED, PENDING
from autos.contracts.states import DocumentState, Doubt, JobStatus, Reason, WaitReason
from autos.records.changes import announce, announce_jobs
from autos.records.models import Document, Job, Process, now


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """What became of one try at a document, ready to be written into its row."""

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


async def open_job(session: AsyncSession, job_id: str, number: CaseNumber) -> None:
    """Make sure that process and job have their rows, and that the job counts as begun."""
    await session.execute(
        insert(Process)
        .values(number=number.digits, court=number.court, segment=number.segment)
        .on_conflict_do_nothing()
    )
    started = now()
    await session.execute(
        insert(Job)
        .values(id=job_id, process_number=number.digits, created_at=started, started_at=started)
        .on_conflict_do_update(
            index_elements=[Job.id],
            # The row may be from another machine, whose clock is ahead of ours.
            set_={
                Job.started_at: func.coalesce(
                    Job.started_at, func.greatest(started, Job.created_at)
                )
            },
        )
    )
    await announce(session, number.digits)


@dataclass(frozen=True, slots=True)
class StartedDocuments:
    """What a job starts from."""

    states: str
    """One character per document, by position (autos.contracts.download)."""
    bytes_stored: int
    fetched_at: datetime | None
    """When the source was read; None only for a process that was purged meanwhile."""


async def start_documents(
    session: AsyncSession, job_id: str, digits: str, *, again: bool = False
) -> StartedDocuments:
    """Set what is not held back to pending for this job.

    What the source gives no address for, or lists no more, is failed from the start. A second
    reading by the same job keeps what the job itself has found out, unless it is to be tried
    `again`. A document that is held with a doubt stays as it is in its row, and is pending in the
    answer: it is asked for once more after every reading.
    """
    missing = (Document.process_number == digits) & (Document.state != DocumentState.AVAILABLE)
    await session.execute(
        update(Document)
        .where(
            missing,
            true() if again else Document.job_id.is_distinct_from(job_id),
            Document.addresses != [],
            Document.vanished_at.is_(None),
        )
        .values(state=DocumentState.PENDING, reason=None, attempts=0, job_id=job_id)
    )
    await session.execute(
        update(Document)
        .where(missing, (Document.addresses == []) | Document.vanished_at.is_not(None))
        .values(
            state=DocumentState.FAILED,
            reason=func.coalesce(Document.reason, Reason.NOT_FOUND.value),
            job_id=job_id,
        )
    )
    states, stored = await _states(session, digits)
    await session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(
            status=JobStatus.PROCESSING,
            reason=None,
            completed_at=None,
            total_documents=len(states),
        )
    )
    await announce(session, digits)
    fetched_at = await session.scalar(select(Process.fetched_at).where(Process.number == digits))
    return StartedDocuments(states, stored, fetched_at)


async def wanted_documents(
    session: AsyncSession,
    digits: str,
    positions: Iterable[int],
    *,
    since: datetime | None = None,
) -> Sequence[Document]:
    """The rows of the documents at these positions; one that had failed is open again.

    Args:
        session: in a transaction.
        digits: the process's number.
        positions: of the documents.
        since: when the batch was handed over. What has failed after that has failed in this very
            batch, whose worker died, and stays failed.
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
    """Let what had failed in a running job until a moment be pending again, visibly at once.

    The job itself was told before; what fails after that moment has failed again.
    """
    await session.execute(
        update(Document)
        .where(
            Document.process_number
            == select(Job.process_number).where(Job.id == job_id).scalar_subquery(),
            Document.job_id == job_id,
            Document.state == DocumentState.FAILED,
            Document.completed_at < until,
            Document.addresses != [],
            Document.vanished_at.is_(None),
        )
        .values(state=DocumentState.PENDING, reason=None, completed_at=None)
    )
    await announce_jobs(session, [job_id])


_RECORD_ATTEMPT = (
    update(Document.__table__)  # type: ignore[arg-type]  # declared as FromClause, is a Table
    .where(
        # Not by position: after a purge it may be that of another document.
        Document.id == bindparam("the_id"),
        # A try whose worker was given up may go on and end late. What is stored stays stored,
        # unless it is in doubt and what comes is no worse; what has failed does not wait again.
        or_(
            Document.state != DocumentState.AVAILABLE,
            and_(
                Document.doubt.is_not(None),
                bindparam("the_state") == DocumentState.AVAILABLE.value,
                not_(
                    and_(
                        Document.doubt == Doubt.SIZE_MISMATCH,
                        func.coalesce(bindparam("the_doubt", type_=Text), "") == Doubt.TEXT_ONLY,
                    )
                ),
            ),
        ),
        or_(
            Document.state != DocumentState.FAILED,
            bindparam("the_state") != DocumentState.PENDING.value,
        ),
    )
    .values(
        attempts=Document.attempts + 1,
        state=bindparam("state"),
        reason=bindparam("reason"),
        doubt=bindparam("doubt", type_=Text),
        job_id=bindparam("job_id"),
        started_at=bindparam("started_at"),
        completed_at=bindparam("completed_at"),
        # A newer version that cannot be had does not take away the one that is held.
        sha256=func.coalesce(bindparam("sha256", type_=String), Document.sha256),
        size=func.coalesce(bindparam("size", type_=BigInteger), Document.size),
        content_type=func.coalesce(bindparam("content_type", type_=Text), Document.content_type),
        mismatch_sha256=func.coalesce(
            bindparam("mismatch_sha256", type_=String), Document.mismatch_sha256
        ),
    )
)


async def record_attempts(session: AsyncSession, records: Sequence[DocumentRecord]) -> None:
    """Write what became of several documents, in one round trip."""
    await (await session.connection()).execute(
        _RECORD_ATTEMPT,
        [
            {
                "the_id": record.document_id,
                "the_state": record.state.value,
                "state": record.state.value,
                "reason": record.reason,
                "the_doubt": record.doubt,
                "doubt": record.doubt,
                "job_id": record.job_id,
                "started_at": record.started_at,
                "completed_at": record.completed_at,
                "sha256": record.sha256,
                "size": record.size,
                "content_type": record.content_type,
                "mismatch_sha256": record.mismatch_sha256,
            }
            for record in records
        ],
    )
    await announce_jobs(session, [record.job_id for record in records])


async def record_status(
    session: AsyncSession,
    job_id: str,
    status: JobStatus,
    waiting_for: WaitReason | None,
    waiting_since: datetime | None,
    *,
    waiting_until: datetime | None = None,
    next_try_at: datetime | None = None,
    reason: Reason | None = None,
    reopens: bool = False,
) -> None:
    """Write where a running job stands.

    A worker that was frozen may come with this after the job has ended; then the row stays.

    Args:
        session: in a transaction.
        job_id: of the job.
        status: of the job.
        waiting_for: None for a job that goes on; then no other argument about a wait is given.
        waiting_since: when the wait began.
        waiting_until: when the job gives up; None if nothing ends the wait but help.
        next_try_at: when it is looked next whether the wait is over.
        reason: what exactly is waited out.
        reopens: the job had ended and is running again.
    """
    await session.execute(
        update(Job)
        .where(Job.id == job_id, true() if reopens else Job.completed_at.is_(None))
        .values(
            status=status,
            waiting_for=waiting_for,
            waiting_since=waiting_since,
            waiting_until=waiting_until,
            next_try_at=next_try_at,
            reason=reason,
            completed_at=None,
        )
    )
    await announce_jobs(session, [job_id])


async def settle_documents(
    session: AsyncSession,
    job_id: str,
    digits: str,
    states: str,
    reason: Reason | None,
    *,
    all_of_them: bool,
) -> list[Document]:
    """Fail what the workflow gave up (its `f`), and return every document by position.

    With `all_of_them` nothing stays open: a job that was not cancelled ends with every document
    stored or failed, whatever its workflow knew of them.
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


async def end_job(
    session: AsyncSession,
    job_id: str,
    status: JobStatus,
    reason: Reason | None,
    documents: Sequence[Document],
) -> None:
    """Write a job's final row from the documents as they are."""
    available = [document for document in documents if document.is_available]
    failed = [document for document in documents if document.state == DocumentState.FAILED]
    await session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(
            status=status,
            reason=reason,
            waiting_for=None,
            waiting_since=None,
            waiting_until=None,
            next_try_at=None,
            total_documents=len(documents),
            available_documents=len(available),
            doubtful_documents=sum(document.doubt is not None for document in available),
            failed_documents=len(failed),
            bytes_stored=sum(document.size or 0 for document in available),
            completed_at=func.coalesce(Job.completed_at, now()),
        )
    )
    await announce_jobs(session, [job_id])


def state_string(documents: Iterable[Document]) -> str:
    """One character per document; the documents come by position."""
    return "".join(_letter(document.state, document.doubt) for document in documents)


def _letter(state: str, doubt: str | None) -> str:
    if state == DocumentState.AVAILABLE and doubt is not None:
        return DOUBTFUL
    return CHARACTERS[DocumentState(state)]


async def _states(session: AsyncSession, digits: str) -> tuple[str, int]:
    """The documents' states as a job begins with them, and the bytes that are held."""
    can_be_had = and_(Document.addresses != [], Document.vanished_at.is_(None))
    query = (
        select(Document.state, Document.doubt, Document.size, can_be_had)
        .where(Document.process_number == digits)
        .order_by(Document.position)
    )
    states: list[str] = []
    stored = 0
    for state, doubt, size, asked_again in (await session.execute(query)).all():
        letter = _letter(state, doubt)
        states.append(PENDING if letter == DOUBTFUL and asked_again else letter)
        stored += (size or 0) if state == DocumentState.AVAILABLE else 0
    return "".join(states), stored
