"""Downloads a batch: a few documents concurrently, from the source into the store.

Each document has an outcome of its own; an internal error or a full disk at one document does not
affect the others. An outage of the records fails the batch once its documents have ended. A store
that accepts no objects fails the next batches before any request. Temporal runs a failed batch
again, and the rows show which documents are already stored.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from weakref import WeakValueDictionary

from temporalio import activity

from activities import failures
from autos import stall_watch
from autos.cnj import CaseNumber
from autos.contracts.download import BatchDocument, BatchResult, DocumentOutcome, DownloadBatch
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState
from autos.contracts.temporal_names import RECORDS
from autos.records import documents as document_rows
from autos.records.database import Database, is_outage
from autos.records.documents import DocumentRecord
from autos.records.models import Document, now
from autos.source import Downloaded, Refused, SourceClient
from autos.source.listing.addresses import is_text
from autos.store import Store, StoreError, StoreUnavailable, document_key

COLLECT_SECONDS: Final = 0.1
"""How long the result of a document waits for those of the rest of its batch."""
_SOURCE_WIDE_REASONS: Final = frozenset(
    {Reason.RATE_LIMITED, Reason.BLOCKED, Reason.TIMEOUT, Reason.CREDENTIAL}
)
"""Refusals that another copy would meet as well: it is requested only on the last attempt."""


class JobSlots(asyncio.Semaphore):
    """The slots of one job on this worker; a document holds one while it is requested.

    All batches of the job share them, so the next batch can be on the worker in advance: its
    documents start as those before them finish. Does not count over several workers; the bound on
    all requests does (autos/records/permits.py).
    """

    async def acquire(self) -> Literal[True]:
        """Wait for a slot and take it."""
        with stall_watch.queued():
            return await super().acquire()


class Recorder:
    """Writes the results of documents into their rows, several in one transaction.

    A result that can wait is written with the next one that cannot, or after `COLLECT_SECONDS`.
    While one transaction is being written, the next results are collected. `record` returns only
    when its row is written. One instance per worker.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[DocumentRecord, asyncio.Future[None]]] = []
        self._is_due = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def record(self, record: DocumentRecord, *, can_wait: bool = False) -> None:
        """Return once the row is written; raises what the database raises."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, written))
        if not can_wait:
            self._is_due.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        try:
            while self._waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(COLLECT_SECONDS):
                        await self._is_due.wait()
                self._is_due.clear()
                entries, self._waiting = self._waiting, []
                await self._write_together(entries)
        finally:
            self._writing = None

    async def _write_together(
        self, entries: list[tuple[DocumentRecord, asyncio.Future[None]]]
    ) -> None:
        failure: Exception | None = None
        try:
            async with self._database.transaction() as session:
                await document_rows.record_attempts(session, [record for record, _ in entries])
        except Exception as error:  # noqa: BLE001 - it is raised to every waiting document
            if len(entries) > 1 and not is_outage(error):
                # The database refused one of the records; the others must not fail with it.
                for entry in entries:
                    await self._write_together([entry])
                return
            failure = error
        for _, written in entries:
            if written.done():
                continue
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(failure)


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why none of a document's copies could be downloaded."""

    reply: Refused
    mismatch: str | None = None
    """The hash of the first copy whose size was not the listed one."""


@dataclass(slots=True)
class _Batch:
    """A batch under way."""

    request: DownloadBatch
    slots: JobSlots
    unfinished: int
    """Documents without an outcome."""
    recording: int = 0
    """Those of them whose result is being written."""


class DocumentActivities:
    """Activities about documents."""

    def __init__(
        self, database: Database, source: SourceClient, store: Store, spool_directory: Path
    ) -> None:
        self._database = database
        self._recorder = Recorder(database)
        self._job_slots: WeakValueDictionary[str, JobSlots] = WeakValueDictionary()
        """By job id, while a batch of the job is on this worker."""
        self._source = source
        self._store = store
        self._spool_directory = spool_directory
        self._store_failure: StoreError | None = None
        """The store's last failure, until the store is known to work again."""

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        """Download every requested document that is not stored yet; return one outcome for each."""
        slots = self._job_slots.setdefault(request.job_id, JobSlots(request.at_once))
        wanted = {document.position: document for document in request.documents}
        info = activity.info()
        async with self._database.transaction() as session:
            rows = await document_rows.wanted_documents(
                session,
                request.process_number,
                wanted,
                # A batch that runs again does not retry documents that failed in its earlier run.
                since=info.scheduled_time if info.attempt > 1 else None,
            )
        stall_watch.progressed()
        await self._check_store()
        batch = _Batch(request, slots, unfinished=len(rows))
        tasks = [
            asyncio.create_task(self._outcome(batch, row, wanted[row.position])) for row in rows
        ]
        try:
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
            # No request may outlive its activity.
            await asyncio.gather(*tasks, return_exceptions=True)
        outcomes = []
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome
            outcomes.append(outcome)
        # A document without a row was purged.
        purged = sorted(wanted.keys() - {row.position for row in rows})
        return BatchResult(
            outcomes=outcomes
            + [
                DocumentOutcome(position=position, reason=Reason.NOT_FOUND, final=True)
                for position in purged
            ]
        )

    async def _check_store(self) -> None:
        """Fail the batch before any request to the source if the store still accepts nothing."""
        failure = self._store_failure
        if failure is not None and not await self._store.ready():
            raise StoreUnavailable("The store accepts no objects", failure.bucket, failure.key)
        self._store_failure = None

    async def _outcome(
        self, batch: _Batch, row: Document, document: BatchDocument
    ) -> DocumentOutcome:
        """Download one document; raises only for an outage of the records."""
        started = now()
        try:
            return await self._download(batch, row, document)
        except Exception as error:
            error_type = failures.failure_type(error)
            if error_type == RECORDS:
                raise
            failures.report(error, position=row.position, document_attempt=document.attempt)
            if isinstance(error, StoreError):
                self._store_failure = error
            refused = _Refused(Refused(Reason(error_type)))
            return await self._refused(batch, row, document, refused, started)
        finally:
            batch.unfinished -= 1
            stall_watch.progressed()

    async def _download(
        self, batch: _Batch, row: Document, document: BatchDocument
    ) -> DocumentOutcome:
        request = batch.request
        if row.state == DocumentState.AVAILABLE and row.doubt is None:
            return DocumentOutcome(position=row.position, size=row.size)
        if row.state == DocumentState.FAILED and row.reason is not None:
            return DocumentOutcome(position=row.position, reason=Reason(row.reason), final=True)
        async with batch.slots:
            started = now()
            fetched = await self._fetch(request.case, row, document)
        if isinstance(fetched, _Refused):
            return await self._refused(batch, row, document, fetched, started)
        reply, doubt = fetched
        with reply:
            await self._store.put(
                document_key(request.case.digits, reply.sha256),
                reply.spool,
                reply.sha256,
                reply.content_type,
            )
        await self._record(
            batch,
            DocumentRecord(
                document_id=row.id,
                job_id=request.job_id,
                state=DocumentState.AVAILABLE,
                reason=None,
                doubt=doubt,
                started_at=started,
                completed_at=now(),
                sha256=reply.sha256,
                size=reply.size,
                content_type=reply.content_type,
            ),
        )
        return DocumentOutcome(position=row.position, size=reply.size, doubt=doubt)

    async def _fetch(
        self, case: CaseNumber, row: Document, document: BatchDocument
    ) -> tuple[Downloaded, Doubt | None] | _Refused:
        """Request the document at each of its addresses until one returns it.

        A file of another size than listed is kept only if an earlier attempt returned the same
        bytes. The listed size is then wrong, and the document is marked as doubtful.
        """
        refusals: list[Refused] = []
        mismatch: str | None = None
        for address in row.addresses:
            text_only = is_text(address)
            reply = await self._source.document(
                case,
                address,
                None if text_only else row.expected_size,
                self._spool_directory,
                None if text_only else row.declared_type,
            )
            if isinstance(reply, Downloaded):
                if text_only:
                    return reply, Doubt.TEXT_ONLY
                if not reply.size_differs:
                    return reply, None
                if reply.sha256 == row.mismatch_sha256:
                    return reply, Doubt.SIZE_MISMATCH
                reply.close()
                mismatch = mismatch or reply.sha256
                refusals.append(Refused(Reason.SIZE_MISMATCH))
                continue
            if reply.unsent:
                return _Refused(reply)
            refusals.append(reply)
            if reply.reason in _SOURCE_WIDE_REASONS and not document.is_last(reply.reason):
                break
        if not refusals:
            return _Refused(Refused(Reason.NO_ADDRESS, final=True))
        # The document is final only if every copy is.
        return _Refused(min(refusals, key=lambda refused: refused.final), mismatch)

    async def _refused(
        self,
        batch: _Batch,
        row: Document,
        document: BatchDocument,
        refused: _Refused,
        started_at: datetime,
    ) -> DocumentOutcome:
        reply = refused.reply
        outcome = DocumentOutcome(
            position=row.position,
            reason=reply.reason,
            final=reply.final,
            retry_after_seconds=reply.retry_after,
            unsent=reply.unsent,
        )
        if reply.unsent:
            return outcome
        failed = reply.final or document.is_last(reply.reason)
        if row.state == DocumentState.AVAILABLE:
            # A doubtful document stays available if no better file can be downloaded.
            doubt = None if row.doubt is None else Doubt(row.doubt)
            held = DocumentOutcome(position=row.position, size=row.size, doubt=doubt)
            return held if failed else outcome
        await self._record(
            batch,
            DocumentRecord(
                document_id=row.id,
                job_id=batch.request.job_id,
                state=DocumentState.FAILED if failed else DocumentState.PENDING,
                reason=reply.reason,
                started_at=started_at,
                completed_at=now() if failed else None,
                mismatch_sha256=refused.mismatch,
            ),
        )
        return outcome

    async def _record(self, batch: _Batch, record: DocumentRecord) -> None:
        """Write a result together with those of the rest of the batch, if they follow soon."""
        batch.recording += 1
        try:
            await self._recorder.record(record, can_wait=batch.recording < batch.unfinished)
        finally:
            batch.recording -= 1
