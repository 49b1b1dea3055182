"""Downloads a batch: a few documents side by side, from the source into the store.

For a document's sake a batch never fails; each document ends with an outcome. Only our own parts
(records) can fail a batch, and then Temporal runs it again: rows tell what is already there.
"""

import asyncio
from datetime import datetime
from pathlib import Path

from temporalio import activity

from activities.gates import Gates
from activities.heartbeat import heartbeating
from activities.recorder import Recorder
from autos.contracts.download import BatchResult, DownloadBatch, Outcome, Wanted
from autos.contracts.retries import retry_rule
from autos.contracts.states import DocumentState, Reason
from autos.records import downloads
from autos.records.database import Database
from autos.records.downloads import DocumentRecord
from autos.records.models import Document, now
from autos.source import Downloaded, Refused, SourceClient
from autos.store import Store, StoreError, document_key

_ANOTHER_ADDRESS_MAY_HELP = frozenset(
    {Reason.NOT_FOUND, Reason.SECRET, Reason.DOCUMENT_ERROR, Reason.BAD_REQUEST, Reason.STUB}
)
"""Refusals that concern one copy of a document; the second listing's copy may still be had."""


class DocumentActivities:
    """Activities about documents."""

    def __init__(
        self, database: Database, source: SourceClient, store: Store, spool_directory: Path
    ) -> None:
        self._database = database
        self._recorder = Recorder(database)
        self._gates = Gates()
        self._source = source
        self._store = store
        self._spool_directory = spool_directory
        self._store_in_doubt = False

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        """Download every document asked for that is not there yet; one outcome each."""
        async with (
            heartbeating(),
            self._gates.of(request.job_id, request.at_once) as gate,
        ):
            attempts = {wanted.position: wanted for wanted in request.documents}
            async with self._database.transaction() as session:
                rows = await downloads.wanted_documents(session, request.process_number, attempts)
            if self._store_in_doubt and not await self._store.ready():
                # Nothing is asked of the source that could not be put away.
                return BatchResult(
                    outcomes=[
                        Outcome(position=position, reason=Reason.STORAGE) for position in attempts
                    ]
                )
            self._store_in_doubt = False
            tasks = [
                asyncio.create_task(self._download(request, row, attempts[row.position], gate))
                for row in rows
            ]
            # Without its row a document was purged: there is nobody to keep it for.
            gone = attempts.keys() - {row.position for row in rows}
            purged = [
                Outcome(position=position, reason=Reason.NOT_FOUND, final=True)
                for position in sorted(gone)
            ]
            try:
                return BatchResult(outcomes=[*await asyncio.gather(*tasks), *purged])
            finally:
                for task in tasks:
                    task.cancel()
                # The batch is over when its requests are: no document outlives its activity.
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _download(
        self, request: DownloadBatch, row: Document, wanted: Wanted, gate: asyncio.Semaphore
    ) -> Outcome:
        if row.state == DocumentState.AVAILABLE:
            return Outcome(position=row.position, size=row.size)
        async with gate:
            started = now()
            reply = await self._fetch(row, wanted)
        if isinstance(reply, Refused) and reply.unsent:
            return Outcome(
                position=row.position,
                reason=reply.reason,
                retry_after_seconds=reply.retry_after,
                unsent=True,
            )
        if isinstance(reply, Refused):
            return await self._refused(request, row, reply, started_at=started)
        with reply:
            try:
                await self._store.put(
                    document_key(request.process_number, reply.sha256),
                    reply.spool,
                    reply.sha256,
                    reply.content_type,
                )
            except StoreError:
                self._store_in_doubt = True
                refused = Refused(Reason.STORAGE, final=False, retry_after=None)
                return await self._refused(request, row, refused, started_at=started)
        differs = row.expected_size is not None and row.expected_size != reply.size
        await self._recorder.record(
            DocumentRecord(
                document_id=row.id,
                job_id=request.job_id,
                state=DocumentState.AVAILABLE,
                reason=Reason.SIZE_MISMATCH if differs else None,
                started_at=started,
                completed_at=now(),
                sha256=reply.sha256,
                size=reply.size,
                content_type=reply.content_type,
            )
        )
        return Outcome(position=row.position, size=reply.size)

    async def _fetch(self, row: Document, wanted: Wanted) -> Downloaded | Refused:
        """Ask for the document at each of its addresses until one gives it."""
        # A size that stays different is the source's list being wrong: kept in the end, and marked.
        last = wanted.attempt >= retry_rule(Reason.SIZE_MISMATCH).attempts
        expected_size = None if last else row.expected_size
        first: Refused | None = None
        for address in row.addresses:
            reply = await self._source.document(address, expected_size, self._spool_directory)
            if isinstance(reply, Downloaded):
                return reply
            first = first or reply
            if reply.reason not in _ANOTHER_ADDRESS_MAY_HELP:
                break
        return first or Refused(Reason.NO_ADDRESS, final=True, retry_after=None)

    async def _refused(
        self, request: DownloadBatch, row: Document, refused: Refused, started_at: datetime
    ) -> Outcome:
        await self._recorder.record(
            DocumentRecord(
                document_id=row.id,
                job_id=request.job_id,
                # Whether another try is worth it is for the workflow to say.
                state=DocumentState.FAILED if refused.final else DocumentState.PENDING,
                reason=refused.reason,
                started_at=started_at,
                completed_at=now() if refused.final else None,
            )
        )
        return Outcome(
            position=row.position,
            reason=refused.reason,
            final=refused.final,
            retry_after_seconds=refused.retry_after,
        )
