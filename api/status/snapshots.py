"""How far a process is: the rows joined with the running job's own answer, or the rows alone.

One string with a character per document is the truth of an answer: the counters are counted from
it and every document's state is read from it, so they always agree. What the rows call ended has
ended: an activity writes a row before the job hears of it. All else is the job's, from its
`progress` query while a worker answers; without an answer the rows stand alone (`live: false`).
So the percentage does not fall when the one takes the place of the other.

Temporal is asked one question, for a second at the most, and its silence is shared: those who come
after are answered from the rows at once while one question at a time finds out whether it is over.

A reader only tells. What is lost, or ended without writing so, is mended by reconciliation, which
tells the subscribers, too (workflows/reconcile.py).

Not promised: that two API processes tell the same within the same half second.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from api import schemas
from api.documents import answers as documents
from api.http import pagination, preferences
from api.object_store import ObjectStore
from api.problems import Problem
from api.records import Records
from api.status.single_flight import SingleFlight
from api.temporal_client import TemporalClient, Unanswered
from autos.cnj import CaseNumber
from autos.contracts.download import (
    AVAILABLE,
    DOUBTFUL,
    FAILED,
    PENDING,
    PROCESSING,
    STATES,
    Progress,
    percentage,
)
from autos.contracts.states import DocumentState, JobStatus, Reason, WaitReason
from autos.records import documents as document_rows
from autos.records import jobs, processes, subscriptions
from autos.records.changes import Changes
from autos.records.models import Document, Job
from autos.records.subscriptions import SubscriptionStatus
from autos.temporal_client import Execution

PAGE: Final = 1000
SHARED_SECONDS: Final = 0.2
"""An answer is fresh this long and given out twice as long (see `single_flight`)."""
WORD_SECONDS: Final = 0.05
"""The same for a job's own word, from which all pages of an answer are made. So what is told is
half a second old at most."""
SILENCE_SECONDS: Final = 3.0
"""The same for the word that there is none."""
QUESTION_SECONDS: Final = 1.0
"""For Temporal's answer."""
HELD: Final = AVAILABLE + DOUBTFUL


class StatusRequest(NamedTuple):
    """Which answer is wanted."""

    digits: str
    with_documents: bool
    start: int = 0


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """One answer that is the same for every caller, and what is added for each."""

    answer: schemas.Status
    body: str
    """The answer as it is sent, written once: fifty pollers land on it at the same moment."""
    digest: str
    subscription_statuses: Mapping[uuid.UUID, SubscriptionStatus]

    def etag(self, key_id: uuid.UUID) -> str:
        """The version of this caller's answer."""
        telling = self.subscription_statuses.get(key_id)
        if telling is None:
            return f'W/"{self.digest}"'
        own = hashlib.sha256(repr(telling).encode()).hexdigest()[:8]
        return f'W/"{self.digest}-{own}"'

    def body_for(self, key_id: uuid.UUID) -> str:
        """The answer with the caller's own webhook; nobody else's is ever in it (F35)."""
        telling = self.subscription_statuses.get(key_id)
        if telling is None:
            return self.body
        answer = self.answer.model_copy(
            update={
                "webhook_url": telling.url,
                "webhook_sent": telling.delivered_at is not None,
                "webhook_sent_at": telling.delivered_at,
                "webhook_attempts": telling.attempts,
                "webhook_last_error": telling.last_error,
            }
        )
        return answer.model_dump_json()


class Question(NamedTuple):
    """What is asked of Temporal."""

    digits: str
    recorded: bool
    """The records know a job that may be running."""


@dataclass(frozen=True, slots=True)
class Word:
    """What Temporal says of a process's newest job."""

    progress: Progress | None = None
    """While it runs and a worker answers for it."""
    execution: Execution | None = None
    """Otherwise, where it is known."""
    silent: bool = False
    """Nobody answered; the job may be running."""


_NOTHING: Final = Word()


class Statuses:
    """Answers status requests; many pollers of one job share one query."""

    def __init__(
        self,
        records: Records,
        engine: TemporalClient,
        store: ObjectStore,
        link_ttl: int,
        changes: Changes,
    ) -> None:
        self._records = records
        self._engine = engine
        self._store = store
        self._link_ttl = link_ttl
        self._changes = changes
        self._words = SingleFlight(self._ask, _shared_seconds)
        self._moments = SingleFlight(
            self._look, lambda moment: SHARED_SECONDS if moment and not _ended(moment) else 0.0
        )

    async def of(self, request: StatusRequest) -> StatusSnapshot | None:
        """How far the process is now; None if nobody ever asked for it."""
        return await self._moments.get(request)

    async def change(
        self, request: StatusRequest, key_id: uuid.UUID, known_etag: str | None, seconds: float
    ) -> StatusSnapshot | None:
        """Wait until the answer is another than the known one, the job has ended, or time is up."""
        deadline = time.monotonic() + seconds
        with self._changes.watching(request.digits) as watch:
            while True:
                moment = await self._moments.get(request, watch.changed_at)
                if moment is None or _ended(moment):
                    return moment
                etag = moment.etag(key_id)
                known_etag = known_etag or etag
                left = deadline - time.monotonic()
                if not preferences.matches(known_etag, etag) or left <= 0:
                    return moment
                await watch.change(left)

    def forget(self, digits: str) -> None:
        """The process changed by our own doing: what was shared until now is old."""
        self._words.forget(lambda question: question.digits == digits)
        self._moments.forget(lambda request: request.digits == digits)
        self._changes.changed(digits)

    async def _ask(self, question: Question) -> Word:
        execution = None
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                if not question.recorded:
                    execution = await self._engine.execution(question.digits)
                    if execution is None or not execution.running:
                        return Word(execution=execution)
                progress = await self._engine.progress(question.digits)
                if isinstance(progress, Progress):
                    return Word(progress)
                if progress is Unanswered.NOT_RUNNING:
                    execution = await self._engine.execution(question.digits)
                    # What the engine has lost will be taken up again, so it has not ended.
                    return Word(execution=execution, silent=execution is None)
        except (Problem, TimeoutError):
            pass
        return Word(execution=execution, silent=True)

    async def _look(self, request: StatusRequest) -> StatusSnapshot | None:
        async with self._records.transaction() as session:
            if not await processes.existing(session, request.digits):
                return None
            job = await jobs.latest(session, request.digits)
        word = _NOTHING
        if job is None or job.is_active:
            word = await self._words.get(Question(request.digits, recorded=job is not None))
        job_id = job.id if job else None
        lost = None
        if word.progress is not None:
            job_id = word.progress.job_id
        elif word.execution is not None and word.execution.running:
            job_id = word.execution.first_run_id
        elif job is not None:
            # A row that is active after the engine said that its job is over has lost its end.
            lost = word.execution
        # The rows are read after the query: what it calls available is in them by then.
        async with self._records.transaction() as session:
            job = await jobs.get(session, job_id) if job_id else None
            active = job_id if job is None or (job.is_active and lost is None) else None
            held = await document_rows.held(session, request.digits, active)
            rows: Sequence[Document] = ()
            if request.with_documents:
                rows = await document_rows.page(
                    session, request.digits, start=request.start, limit=PAGE
                )
            subscription_statuses = await subscriptions.subscription_statuses(
                session, request.digits, job_id
            )
            place = await jobs.queue_place(session, job) if job else None
        states = merged(held.states, word.progress.states if word.progress else "")
        answer = assemble(
            request,
            states=states,
            bytes_stored=held.bytes_stored,
            word=word,
            job=job,
            job_id=job_id,
            lost=lost if job else None,
        )
        if place is not None and answer.status is JobStatus.PENDING and not answer.waiting_for:
            answer = answer.model_copy(
                update={"jobs_ahead": place.jobs_ahead, "eta_seconds": place.eta_seconds}
            )
        if request.with_documents:
            answer = answer.model_copy(update=self._listing(request, states, rows, word.progress))
        return StatusSnapshot(
            answer, answer.model_dump_json(), self._digest(answer), subscription_statuses
        )

    def _listing(
        self,
        request: StatusRequest,
        states: str,
        rows: Sequence[Document],
        progress: Progress | None,
    ) -> dict[str, object]:
        retries = {retry.position: retry.reason for retry in progress.retries} if progress else {}
        listed = [row for row in rows if row.position < len(states)]
        end = request.start + PAGE
        return {
            "documents": [
                documents.status_of(
                    row,
                    STATES[states[row.position]],
                    self._store,
                    retries.get(row.position, _tried(row)),
                )
                for row in listed
            ],
            "documents_next": pagination.encode(end) if end < len(states) else None,
        }

    def _digest(self, answer: schemas.Status) -> str:
        content = answer.model_dump_json(
            exclude={"eta_seconds": True, "documents": {"__all__": {"download_url"}}}
        )
        # Links are not content, but a client that is told 304 for hours keeps links that expired.
        era = int(time.time() / (self._link_ttl / 2)) if answer.documents else 0
        return hashlib.sha256(f"{era}{content}".encode()).hexdigest()[:32]


def merged(rows: str, job: str) -> str:
    """The states of the documents, given as the rows and as the running job have them.

    What has ended in its row has ended, though the job hears of it only with the end of its batch.
    Only a failure that the job has pending again is about to be tried once more. Which documents
    there are is for the job to say, once it knows.
    """
    if not job:
        return rows
    if rows == job:
        return job
    known = rows.ljust(len(job), PENDING)
    return "".join(
        row if row in HELD or (row == FAILED and own == PROCESSING) else own
        for row, own in zip(known, job, strict=False)
    )


def counters(states: str, status: JobStatus) -> dict[str, float]:
    """The five counters and the percentage."""
    doubtful = states.count(DOUBTFUL)
    total, available, failed = len(states), states.count(AVAILABLE), states.count(FAILED)
    available += doubtful
    return {
        "total_documents": total,
        "completed_documents": available,
        "doubtful_documents": doubtful,
        "failed_documents": failed,
        "pending_documents": states.count(PENDING),
        "processing_documents": states.count(PROCESSING),
        "progress_percentage": percentage(available + failed, total, status),
    }


def assemble(
    request: StatusRequest,
    *,
    states: str,
    bytes_stored: int,
    word: Word,
    job: Job | None,
    job_id: str | None,
    lost: Execution | None = None,
) -> schemas.Status:
    """Everything of a status answer but the documents and the caller's own.

    `lost` is the ended run of a job that may not have written its end.
    """
    progress = word.progress
    if progress is not None:
        status, reason, waiting_for = progress.status, progress.reason, progress.waiting_for
        waiting_since = progress.waiting_since
    else:
        status = JobStatus(job.status) if job else JobStatus.PENDING
        if lost is not None and not status.ended:
            status = lost.ending(some_stored=any(letter in HELD for letter in states))
        reason = Reason(job.reason) if job and job.reason else None
        waiting_for = WaitReason(job.waiting_for) if job and job.waiting_for else None
        waiting_since = job.waiting_since if job else None
    # An activity that waits writes these into the row; the job itself does not know them.
    waits = job is not None and waiting_for is not None and job.waiting_for == waiting_for
    next_try_at = job.next_try_at if job and waits else None
    started_at = job.started_at if job else None
    if started_at is None and progress is not None:
        started_at = progress.started_at
    if started_at is not None and job is not None:
        # The row of a job is written after it was started.
        started_at = max(started_at, job.created_at)
    return schemas.Status.model_validate(
        {
            **counters(states, status),
            "process_number": CaseNumber(request.digits).masked,
            "status": status,
            "waiting_for": waiting_for,
            "waiting_since": waiting_since,
            "waiting_until": (progress.waiting_until if progress else None)
            or (job.waiting_until if job and waits else None),
            "next_try_at": (progress.next_try_at if progress else None) or next_try_at,
            "reason": reason,
            "error_message": reason.text if reason else None,
            "live": not word.silent,
            "bytes_stored": bytes_stored,
            "eta_seconds": progress.eta_seconds if progress else None,
            "job_id": job_id,
            "created_at": job.created_at if job else None,
            "started_at": started_at,
            "completed_at": job.completed_at if job else None,
        }
    )


def _tried(row: Document) -> Reason | None:
    """Why a document that is still open was not had at the last try."""
    return Reason(row.reason) if row.state == DocumentState.PENDING and row.reason else None


def _shared_seconds(word: Word) -> float:
    if word.silent:
        return SILENCE_SECONDS
    return WORD_SECONDS if word.progress else 0.0


def _ended(moment: StatusSnapshot) -> bool:
    return moment.answer.status.ended
