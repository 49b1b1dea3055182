"""How far a process is: the running job's own word joined with the rows, or the rows alone.

One string with a character per document is the truth of an answer: the counters are counted from
it and every document's state is read from it, so they always agree. It comes from the job's
`progress` query while a worker answers, else from the rows. The rows run ahead of the job by a
batch (an activity writes a row before the job hears of it) and behind it in failures (written at
the end), so switching between the two could turn a finished document back into an unfinished one.
Therefore a document that this API process has told as ended stays ended for as long as the same
job runs and lists the same documents: the percentage never falls.

A reader only tells. What is lost, or ended without writing so, is mended by reconciliation, which
tells the subscribers, too (workflows/reconcile.py).

Not promised: that two API processes tell the same within the same half second.
"""

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from api import cursors, documents, schemas
from api.engine import Engine, Silence
from api.problems import Problem
from api.records import Records
from api.single_flight import SingleFlight
from api.store import Objects
from autos.cnj import CaseNumber
from autos.contracts.download import (
    AVAILABLE,
    FAILED,
    PENDING,
    PROCESSING,
    STATES,
    Progress,
    percentage,
)
from autos.contracts.states import JobStatus, Reason, WaitReason
from autos.engine import Execution
from autos.records import documents as document_rows
from autos.records import jobs, processes, queue, subscriptions
from autos.records.models import Document, Job
from autos.records.subscriptions import Telling

PAGE: Final = 1000
SHARED_SECONDS: Final = 0.2
"""An answer is fresh this long and given out twice as long (see `single_flight`)."""
WORD_SECONDS: Final = 0.05
"""The same for a job's own word, from which all pages of an answer are made. So what is told is
half a second old at most."""
SILENCE_SECONDS: Final = 1.0
"""When nobody answers, pollers are not made to wait for the same silence again at once."""
REMEMBERED_JOBS: Final = 1000
ENDED: Final = AVAILABLE + FAILED


class Wish(NamedTuple):
    """Which answer is wanted."""

    digits: str
    with_documents: bool
    start: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """One answer that is the same for every caller, and what is added for each."""

    answer: schemas.Status
    body: str
    """The answer as it is sent, written once: fifty pollers land on it at the same moment."""
    digest: str
    tellings: Mapping[uuid.UUID, Telling]

    def etag(self, key_id: uuid.UUID) -> str:
        """The version of this caller's answer."""
        telling = self.tellings.get(key_id)
        if telling is None:
            return f'W/"{self.digest}"'
        own = hashlib.sha256(repr(telling).encode()).hexdigest()[:8]
        return f'W/"{self.digest}-{own}"'

    def body_for(self, key_id: uuid.UUID) -> str:
        """The answer with the caller's own webhook; nobody else's is ever in it (F35)."""
        telling = self.tellings.get(key_id)
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


class Statuses:
    """Answers status requests; many pollers of one job share one query."""

    def __init__(self, records: Records, engine: Engine, store: Objects, link_ttl: int) -> None:
        self._records = records
        self._engine = engine
        self._store = store
        self._link_ttl = link_ttl
        self._progress = SingleFlight(engine.progress, _shared_seconds)
        self._moments = SingleFlight(
            self._look, lambda moment: SHARED_SECONDS if moment and not _ended(moment) else 0.0
        )
        self._told: OrderedDict[str, str] = OrderedDict()

    async def of(self, wish: Wish) -> Moment | None:
        """How far the process is now; None if nobody ever asked for it."""
        return await self._moments.get(wish)

    async def change(
        self, wish: Wish, key_id: uuid.UUID, known_etag: str | None, seconds: float
    ) -> Moment | None:
        """Wait until the answer is another than the known one, the job has ended, or time is up."""
        deadline = time.monotonic() + seconds
        while True:
            moment = await self.of(wish)
            if moment is None or _ended(moment):
                return moment
            etag = moment.etag(key_id)
            known_etag = known_etag or etag
            left = deadline - time.monotonic()
            if etag != known_etag or left <= 0:
                return moment
            await asyncio.sleep(min(SHARED_SECONDS, left))

    def forget(self, digits: str) -> None:
        """The process changed by our own doing: what was shared until now is old."""
        self._progress.forget(lambda key: key == digits)
        self._moments.forget(lambda wish: wish.digits == digits)

    async def _look(self, wish: Wish) -> Moment | None:
        async with self._records.transaction() as session:
            if not await processes.existing(session, wish.digits):
                return None
            job = await jobs.latest(session, wish.digits)
        word: Progress | Silence = Silence.NOT_RUNNING
        execution: Execution | None = None
        job_id = job.id if job else None
        if job is None or job.is_active:
            word = await self._progress.get(wish.digits)
            if isinstance(word, Progress):
                job_id = word.job_id
            else:
                with contextlib.suppress(Problem):
                    execution = await self._engine.execution(wish.digits)
                    if execution is None and job is not None:
                        # The engine has lost it. It will be taken up again, so it has not ended.
                        word = Silence.UNANSWERED
                if execution is not None and execution.running:
                    job_id = execution.first_run_id
        # The rows are read after the query: what it calls available is in them by then.
        async with self._records.transaction() as session:
            job = await jobs.get(session, job_id) if job_id else None
            # A row that is active after the engine said that its job is over has lost its end.
            lost = execution if execution and not execution.running and job else None
            active = job_id if job is None or (job.is_active and lost is None) else None
            held = None
            if not isinstance(word, Progress) or not word.states:
                held = await document_rows.held(session, wish.digits, active)
            rows: Sequence[Document] = ()
            if wish.with_documents:
                rows = await document_rows.page(session, wish.digits, start=wish.start, limit=PAGE)
            tellings = await subscriptions.tellings(session, wish.digits, job_id)
            place = await queue.place(session, job) if job else None
        states = held.states if held else word.states if isinstance(word, Progress) else ""
        if active is not None:
            states = self._keep_told(active, states)
        answer = assemble(
            wish,
            states=states,
            bytes_stored=held.bytes_stored if held else 0,
            word=word,
            job=job,
            job_id=job_id,
            lost=lost,
        )
        if place is not None and answer.status is JobStatus.PENDING and not answer.waiting_for:
            answer = answer.model_copy(
                update={"jobs_ahead": place.jobs_ahead, "eta_seconds": place.eta_seconds}
            )
        if wish.with_documents:
            answer = answer.model_copy(update=self._listing(wish, states, rows, word))
        return Moment(answer, answer.model_dump_json(), self._digest(answer), tellings)

    def _listing(
        self, wish: Wish, states: str, rows: Sequence[Document], word: Progress | Silence
    ) -> dict[str, object]:
        retries: dict[int, Reason] = {}
        if isinstance(word, Progress):
            retries = {retry.position: retry.reason for retry in word.retries}
        listed = [row for row in rows if row.position < len(states)]
        end = wish.start + PAGE
        return {
            "documents": [
                documents.status_of(
                    row, STATES[states[row.position]], self._store, retries.get(row.position)
                )
                for row in listed
            ],
            "documents_next": cursors.encode(end) if end < len(states) else None,
        }

    def _digest(self, answer: schemas.Status) -> str:
        content = answer.model_dump_json(
            exclude={"eta_seconds": True, "documents": {"__all__": {"download_url"}}}
        )
        # Links are not content, but a client that is told 304 for hours keeps links that expired.
        era = int(time.time() / (self._link_ttl / 2)) if answer.documents else 0
        return hashlib.sha256(f"{era}{content}".encode()).hexdigest()[:32]

    def _keep_told(self, job_id: str, states: str) -> str:
        states = keep_told(self._told.get(job_id, ""), states)
        self._told[job_id] = states
        self._told.move_to_end(job_id)
        if len(self._told) > REMEMBERED_JOBS:
            self._told.popitem(last=False)
        return states


def keep_told(told: str, states: str) -> str:
    """The states with every document ended that was told as ended before."""
    if told == states or len(told) != len(states):
        return states
    return "".join(
        before if before in ENDED and after not in ENDED else after
        for before, after in zip(told, states, strict=True)
    )


def counters(states: str, status: JobStatus) -> dict[str, float]:
    """The five counters and the percentage."""
    total, available, failed = len(states), states.count(AVAILABLE), states.count(FAILED)
    return {
        "total_documents": total,
        "completed_documents": available,
        "failed_documents": failed,
        "pending_documents": states.count(PENDING),
        "processing_documents": states.count(PROCESSING),
        "progress_percentage": percentage(available + failed, total, status),
    }


def assemble(
    wish: Wish,
    *,
    states: str,
    bytes_stored: int,
    word: Progress | Silence,
    job: Job | None,
    job_id: str | None,
    lost: Execution | None = None,
) -> schemas.Status:
    """Everything of a status answer but the documents and the caller's own.

    `lost` is the ended run of a job that may not have written its end.
    """
    if isinstance(word, Progress):
        status, reason, waiting_for = word.status, word.reason, word.waiting_for
        waiting_since, next_try_at = word.waiting_since, word.next_try_at
        bytes_stored = max(bytes_stored, word.bytes_stored)
    else:
        status = JobStatus(job.status) if job else JobStatus.PENDING
        if lost is not None and not status.ended:
            status = lost.ending(some_stored=AVAILABLE in states)
        reason = Reason(job.reason) if job and job.reason else None
        waiting_for = WaitReason(job.waiting_for) if job and job.waiting_for else None
        waiting_since, next_try_at = job.waiting_since if job else None, None
    started_at = job.started_at if job else None
    if started_at is None and isinstance(word, Progress):
        started_at = word.started_at
    return schemas.Status.model_validate(
        {
            **counters(states, status),
            "process_number": CaseNumber(wish.digits).masked,
            "status": status,
            "waiting_for": waiting_for,
            "waiting_since": waiting_since,
            "next_try_at": next_try_at,
            "reason": reason,
            "error_message": reason.text if reason else None,
            # Silence is an answer too where no job runs: the records are the truth then.
            "live": word is not Silence.UNANSWERED,
            "bytes_stored": bytes_stored,
            "eta_seconds": word.eta_seconds if isinstance(word, Progress) else None,
            "job_id": job_id,
            "created_at": job.created_at if job else None,
            "started_at": started_at,
            "completed_at": job.completed_at if job else None,
        }
    )


def _shared_seconds(word: Progress | Silence) -> float:
    if word is Silence.UNANSWERED:
        return SILENCE_SECONDS
    return 0.0 if word is Silence.NOT_RUNNING else WORD_SECONDS


def _ended(moment: Moment) -> bool:
    return moment.answer.status.ended
