"""Downloads a batch: a few documents side by side, from the source into the store.

Each document ends with an outcome of its own; a defect or a full disk under one leaves the others
alone. An outage of the records fails a batch, after its documents have come to an end, and a store
that takes nothing fails the batches that come after; then Temporal runs them again, and the rows
say what is already there.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from temporalio import activity

from activities import failures
from activities.job_slots import JobSlots, Slots
from activities.recorder import Recorder
from autos import progress
from autos.contracts.download import BatchDocument, BatchResult, DocumentOutcome, DownloadBatch
from autos.contracts.names import RECORDS
from autos.contracts.states import DocumentState, Doubt, Reason
from autos.records import downloads
from autos.records.database import Database
from autos.records.downloads import DocumentRecord
from autos.records.models import Document, now
from autos.source import Downloaded, Refused, SourceClient
from autos.source.listing.addresses import is_text
from autos.store import Store, StoreError, StoreUnavailable, document_key

_OF_THE_SOURCE: Final = frozenset(
    {Reason.RATE_LIMITED, Reason.BLOCKED, Reason.TIMEOUT, Reason.CREDENTIAL}
)
"""Refusals that another copy will meet as well; it is asked only before the document fails."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why none of a document's copies was had."""

    reply: Refused
    mismatch: str | None = None
    """The hash of the first copy that came in another size than listed."""


class DocumentActivities:
    """Activities about documents."""

    def __init__(
        self, database: Database, source: SourceClient, store: Store, spool_directory: Path
    ) -> None:
        self._database = database
        self._recorder = Recorder(database)
        self._job_slots = JobSlots()
        self._source = source
        self._store = store
        self._spool_directory = spool_directory
        self._not_stored: StoreError | None = None
        """The store's last failure, until it is known to work again."""

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        """Download every document asked for that is not there yet; one outcome each."""
        async with self._job_slots.of(request.job_id, request.at_once) as slots:
            attempts = {wanted.position: wanted for wanted in request.documents}
            info = activity.info()
            async with self._database.transaction() as session:
                rows = await downloads.wanted_documents(
                    session,
                    request.process_number,
                    attempts,
                    # A batch that runs again does not ask again for what has failed in it.
                    since=info.scheduled_time if info.attempt > 1 else None,
                )
            progress.made()
            failed = self._not_stored
            if failed is not None and not await self._store.ready():
                # Nothing is asked of the source that could not be put away; the job shows the wait.
                raise StoreUnavailable("The store takes nothing yet", failed.bucket, failed.key)
            self._not_stored = None
            tasks = [
                asyncio.create_task(self._outcome(request, row, attempts[row.position], slots))
                for row in rows
            ]
            # Without its row a document was purged: there is nothing to keep it for.
            gone = attempts.keys() - {row.position for row in rows}
            purged = [
                DocumentOutcome(position=position, reason=Reason.NOT_FOUND, final=True)
                for position in sorted(gone)
            ]
            try:
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                for task in tasks:
                    task.cancel()
                # The batch is over when its requests are: no document outlives its activity.
                await asyncio.gather(*tasks, return_exceptions=True)
            outcomes = []
            for outcome in ended:
                if isinstance(outcome, BaseException):
                    raise outcome
                outcomes.append(outcome)
            return BatchResult(outcomes=[*outcomes, *purged])

    async def _outcome(
        self, request: DownloadBatch, row: Document, wanted: BatchDocument, slots: Slots
    ) -> DocumentOutcome:
        """What becomes of one document; only an outage of the records raises."""
        started = now()
        try:
            return await self._download(request, row, wanted, slots)
        except Exception as error:
            kind = failures.failure_type(error)
            if kind == RECORDS:
                raise
            failures.report(error, position=row.position, document_attempt=wanted.attempt)
            if isinstance(error, StoreError):
                self._not_stored = error
            refused = _Refused(Refused(Reason(kind)))
            return await self._refused(request, row, wanted, refused, started)
        finally:
            progress.made()

    async def _download(
        self, request: DownloadBatch, row: Document, wanted: BatchDocument, slots: Slots
    ) -> DocumentOutcome:
        if row.state == DocumentState.AVAILABLE and row.doubt is None:
            return DocumentOutcome(position=row.position, size=row.size)
        if row.state == DocumentState.FAILED and row.reason is not None:
            return DocumentOutcome(position=row.position, reason=Reason(row.reason), final=True)
        async with slots:
            started = now()
            fetched = await self._fetch(row, wanted)
        if isinstance(fetched, _Refused):
            return await self._refused(request, row, wanted, fetched, started)
        reply, doubt = fetched
        with reply:
            await self._store.put(
                document_key(request.process_number, reply.sha256),
                reply.spool,
                reply.sha256,
                reply.content_type,
            )
        await self._recorder.record(
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
            )
        )
        return DocumentOutcome(position=row.position, size=reply.size, doubt=doubt)

    async def _fetch(
        self, row: Document, wanted: BatchDocument
    ) -> tuple[Downloaded, Doubt | None] | _Refused:
        """Ask for the document at each of its addresses until one gives it.

        A file of another size than listed is kept only if an earlier attempt brought the very same
        bytes: then it is the list that is wrong, and the document is marked.
        """
        refusals: list[Refused] = []
        mismatch: str | None = None
        for address in row.addresses:
            text_only = is_text(address)
            reply = await self._source.document(
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
            if reply.reason in _OF_THE_SOURCE and not wanted.is_last(reply.reason):
                break
        if not refusals:
            return _Refused(Refused(Reason.NO_ADDRESS, final=True))
        # As long as one copy may still be had, the document may.
        return _Refused(min(refusals, key=lambda refused: refused.final), mismatch)

    async def _refused(
        self,
        request: DownloadBatch,
        row: Document,
        wanted: BatchDocument,
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
        failed = reply.final or wanted.is_last(reply.reason)
        if row.state == DocumentState.AVAILABLE:
            # What is held with a doubt stays held; nothing better was to be had.
            held = DocumentOutcome(position=row.position, size=row.size, doubt=_doubt(row))
            return held if failed else outcome
        await self._recorder.record(
            DocumentRecord(
                document_id=row.id,
                job_id=request.job_id,
                state=DocumentState.FAILED if failed else DocumentState.PENDING,
                reason=reply.reason,
                started_at=started_at,
                completed_at=now() if failed else None,
                mismatch_sha256=refused.mismatch,
            )
        )
        return outcome


def _doubt(row: Document) -> Doubt | None:
    return None if row.doubt is None else Doubt(row.doubt)
