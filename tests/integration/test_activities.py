"""The activities on a real database: requests, stored objects, rows, and repeated runs."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.documents import DocumentActivities
from activities.failures import failure_type
from activities.jobs import JobActivities
from autos.cnj import CaseNumber
from autos.contracts.download import (
    BatchDocument,
    ClosedJob,
    CloseJob,
    DocumentOutcome,
    DownloadBatch,
)
from autos.contracts.reasons import Reason
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import STORAGE
from autos.records import documents, jobs, listings, processes
from autos.records.database import Database
from autos.records.models import Document, now
from autos.source.listing.models import ListedDocument
from autos.store import Body, Readable, Store, StoreError, StoreUnavailable
from tests.integration.test_downloads import document, listing, rows
from tests.unit.source.clients import client_of
from tests.unit.source.server import FakeServer, Request, always, reply, running

PDF = b"%PDF-1.4 " + bytes(91)
UUIDS = [f"0f5c8f6e-1111-5222-8333-{number:012}" for number in range(6)]


class FakeStore(Store):
    """Objects in a dictionary; `unavailable` makes it fail."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.unavailable = False

    async def put(self, key: str, body: Body, sha256: str, content_type: str) -> bool:
        if self.unavailable:
            raise StoreUnavailable("The store is unavailable", "bucket", key)
        self.objects[key] = b"".join([piece async for piece in body.pieces()])
        return True

    async def put_json(self, key: str, data: bytes | Readable) -> None:
        if not isinstance(data, bytes):
            data = b"".join([piece async for piece in data.pieces()])
        self.objects[key] = data

    async def ready(self) -> bool:
        return not self.unavailable


class Parts:
    """A job with its case, database, store and source server."""

    def __init__(
        self, database: Database, temporal: Client, case: CaseNumber, server: FakeServer
    ) -> None:
        self.database, self.temporal, self.case, self.server = database, temporal, case, server
        self.store = FakeStore()
        self.job = str(uuid.uuid4())

    def listed(self, *uuids: str, expected_size: int = len(PDF)) -> ListedDocument:
        base = f"/api/v2/processos/{self.case.masked}/documentos"
        return replace(
            document(*uuids),
            addresses=tuple(f"{base}/{uuid}/binario" for uuid in uuids),
            expected_size=expected_size,
        )

    async def begin(self, *listed: ListedDocument) -> str:
        """Save these documents as listed and start the job; returns the states."""
        async with self.database.transaction() as session:
            await jobs.open_job(session, self.job, self.case)
            await listings.save_listing(session, listing(self.case, *listed))
            begun = await documents.start_documents(session, self.job, self.case.digits)
        return begun.states

    def batch(self, *positions: int, tried: dict[Reason, int] | None = None) -> DownloadBatch:
        return DownloadBatch(
            job_id=self.job,
            process_number=self.case.digits,
            batch=1,
            documents=[
                BatchDocument(position=position, tried=tried or {}) for position in positions
            ],
        )

    async def rows(self) -> list[Document]:
        return await rows(self.database, self.case)


@pytest.fixture
async def parts(database: Database, temporal: Client, case: CaseNumber) -> AsyncIterator[Parts]:
    async with running(always(reply(body=PDF))) as server:
        yield Parts(database, temporal, case, server)


@pytest.fixture
async def batches(parts: Parts, tmp_path: Path) -> AsyncIterator[DocumentActivities]:
    async with client_of(parts.server) as source:
        yield DocumentActivities(parts.database, source, parts.store, tmp_path)


async def outcomes(
    activities: DocumentActivities, batch: DownloadBatch, again_since: datetime | None = None
) -> list[DocumentOutcome]:
    """Run a batch and return its outcomes by position; with `again_since`, as a second attempt."""
    environment = ActivityEnvironment()
    if again_since is not None:
        environment.info = replace(environment.info, attempt=2, scheduled_time=again_since)
    result = await environment.run(activities.download_batch, batch)
    return sorted(result.outcomes, key=lambda outcome: outcome.position)


async def test_repeated_batch_requests_only_documents_not_stored(
    parts: Parts, batches: DocumentActivities
) -> None:
    """F4: the first worker died after it had stored some documents."""
    await parts.begin(*(parts.listed(uuid) for uuid in UUIDS[:3]))
    assert await outcomes(batches, parts.batch(0, 1)) == [
        DocumentOutcome(position=position, size=len(PDF)) for position in (0, 1)
    ]
    assert await outcomes(batches, parts.batch(0, 1, 2)) == [
        DocumentOutcome(position=position, size=len(PDF)) for position in (0, 1, 2)
    ]
    assert len(parts.server.requests) == 3
    assert [(row.state, row.attempts) for row in await parts.rows()] == [("available", 1)] * 3
    assert list(parts.store.objects.values()) == [PDF]


async def test_repeated_batch_does_not_retry_its_failed_documents(
    parts: Parts, batches: DocumentActivities
) -> None:
    """A later batch does, because a retry was requested."""
    begun = now()
    parts.server.script = always(reply(403, b'{"message":"sigiloso"}'))
    await parts.begin(parts.listed(UUIDS[0]))
    failed = DocumentOutcome(position=0, reason=Reason.SECRET, final=True)
    assert await outcomes(batches, parts.batch(0)) == [failed]
    assert await outcomes(batches, parts.batch(0), again_since=begun) == [failed]
    assert len(parts.server.requests) == 1
    assert await outcomes(batches, parts.batch(0)) == [failed]
    assert len(parts.server.requests) == 2


async def test_batches_of_a_job_share_its_slots(parts: Parts, batches: DocumentActivities) -> None:
    """The prefetched batch starts as the previous one ends (decision 0008)."""
    await parts.begin(*(parts.listed(uuid) for uuid in UUIDS))
    first, second = (
        parts.batch(*positions).model_copy(update={"at_once": 2})
        for positions in ((0, 1, 2), (3, 4, 5))
    )
    too_many = asyncio.Event()

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        if parts.server.at_once > 2:
            too_many.set()
        if len(parts.server.requests) <= 2:
            # Waits long enough for a third request to arrive.
            with suppress(TimeoutError):
                await asyncio.wait_for(too_many.wait(), 0.3)
        writer.write(reply(body=PDF))

    parts.server.script = script
    async with asyncio.timeout(60):
        await asyncio.gather(outcomes(batches, first), outcomes(batches, second))
    assert parts.server.most_at_once == 2
    assert [row.state for row in await parts.rows()] == ["available"] * 6


async def test_purged_document_is_not_requested(parts: Parts, batches: DocumentActivities) -> None:
    await parts.begin(parts.listed(UUIDS[0]))
    async with parts.database.transaction() as session:
        await processes.purge(session, parts.case.digits, {parts.job})
    assert await outcomes(batches, parts.batch(0)) == [
        DocumentOutcome(position=0, reason=Reason.NOT_FOUND, final=True)
    ]
    assert parts.server.requests == []


async def test_document_refused_at_its_first_address_comes_from_the_second(
    parts: Parts, batches: DocumentActivities
) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(404) if UUIDS[0] in request.path else reply(body=PDF))

    parts.server.script = script
    await parts.begin(parts.listed(UUIDS[0], UUIDS[1]))
    assert await outcomes(batches, parts.batch(0)) == [DocumentOutcome(position=0, size=len(PDF))]
    assert len(parts.server.requests) == 2


async def test_unavailable_store_causes_only_one_request_to_the_source(
    parts: Parts, batches: DocumentActivities
) -> None:
    """(S16) Later batches fail as `storage`, which the job shows and waits out."""
    parts.store.unavailable = True
    await parts.begin(parts.listed(UUIDS[0]))
    (refused,) = await outcomes(batches, parts.batch(0))
    assert (refused.reason, refused.final) == (Reason.STORAGE, False)
    for _ in range(3):
        with pytest.raises(StoreError) as error:
            await outcomes(batches, parts.batch(0))
        assert failure_type(error.value) == STORAGE
    assert len(parts.server.requests) == 1
    parts.store.unavailable = False
    assert await outcomes(batches, parts.batch(0)) == [DocumentOutcome(position=0, size=len(PDF))]


async def test_cancelled_batch_ends_its_requests(
    parts: Parts, batches: DocumentActivities, tmp_path: Path
) -> None:
    requested = asyncio.Event()

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        requested.set()
        await asyncio.Event().wait()

    parts.server.script = script
    await parts.begin(parts.listed(UUIDS[0]), parts.listed(UUIDS[1]))
    # One document is requested, the other waits for a slot.
    batch = parts.batch(0, 1).model_copy(update={"at_once": 1})
    task = asyncio.create_task(outcomes(batches, batch))
    async with asyncio.timeout(60):
        await requested.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [(row.state, row.attempts) for row in await parts.rows()] == [("pending", 0)] * 2
    assert list(tmp_path.iterdir()) == []


async def close(parts: Parts, closing: CloseJob) -> ClosedJob:
    activities = JobActivities(parts.database, parts.store, parts.temporal)
    return await ActivityEnvironment().run(activities.close_job, closing)


async def test_job_whose_process_is_purged_ends_as_cancelled(
    parts: Parts,
) -> None:
    states = await parts.begin(parts.listed(UUIDS[0]), parts.listed(UUIDS[1]))
    async with parts.database.transaction() as session:
        await processes.purge(session, parts.case.digits, {parts.job})
    closing = CloseJob(
        job_id=parts.job, process_number=parts.case.digits, states=states.replace("p", "f")
    )
    closed = await close(parts, closing)
    assert (closed.status, closed.states) == (JobStatus.CANCELLED, "")


@pytest.mark.parametrize(
    ("status", "states"), [(None, "ff"), (JobStatus.CANCELLED, "pp"), (JobStatus.FAILED, "ff")]
)
async def test_only_a_cancelled_job_leaves_documents_pending(
    parts: Parts, status: JobStatus | None, states: str
) -> None:
    """Even if the workflow knew fewer documents than the rows."""
    await parts.begin(parts.listed(UUIDS[0]), parts.listed(UUIDS[1]))
    closing = CloseJob(
        job_id=parts.job, process_number=parts.case.digits, states="p", status=status
    )
    closed = await close(parts, closing)
    assert (closed.status, closed.states) == (status or JobStatus.FAILED, states)


async def test_process_without_documents_is_completed(parts: Parts) -> None:
    states = await parts.begin()
    closing = CloseJob(job_id=parts.job, process_number=parts.case.digits, states=states)
    closed = await close(parts, closing)
    assert (closed.status, closed.states) == (JobStatus.COMPLETED, "")
