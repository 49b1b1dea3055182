"""Fakes for the API tests, and helpers that write what activities would write."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import httpx2
from sqlalchemy import delete, update
from temporalio.client import Client, WorkflowHandle

from api.app import OpenServices, assemble
from api.services import Services
from api.temporal_client import TemporalClient
from autos.cnj import CaseNumber
from autos.contracts.download import DOUBTFUL, STATES
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.contracts.temporal_names import job_workflow_id
from autos.records import jobs, processes
from autos.records.changes import announce, announce_jobs
from autos.records.database import Database
from autos.records.models import Document, Job, Process
from autos.settings import Settings
from autos.store import ObjectMissing, Readable, Store, StoredObject, StoreUnavailable

ADMIN_KEY = "autos_admin-key-of-the-tests-0123456789abcdef"
SHA256 = "5e" * 32


class FakeStore(Store):
    """Objects in a dictionary; `unavailable` makes it fail, `full` makes it refuse objects."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.unavailable = False
        self.full = False
        self.probes = 0
        self.links_made = 0
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """Awaited while the objects of a process are deleted."""

    def link(self, key: str, filename: str, content_type: str) -> str:
        self.links_made += 1
        return f"https://store.example/{key}?X-Amz-Signature={self.links_made}"

    async def head(self, key: str) -> StoredObject | None:
        self._require(key)
        return StoredObject(len(self.objects[key]), None) if key in self.objects else None

    async def get(self, key: str) -> bytes:
        self._require(key)
        if key not in self.objects:
            raise ObjectMissing("The store holds no such object", "bucket", key)
        return self.objects[key]

    async def put_json(self, key: str, data: bytes | Readable) -> None:
        self._require(key)
        assert isinstance(data, bytes)
        self.objects[key] = data

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._require(key)
            self.objects.pop(key, None)

    async def delete_prefix(self, digits: str) -> int:
        self._require(digits)
        if self.meanwhile is not None:
            await self.meanwhile()
        deleted = [key for key in self.objects if digits in key]
        for key in deleted:
            del self.objects[key]
        return len(deleted)

    async def reachable(self) -> bool:
        return not self.unavailable

    async def ready(self) -> bool:
        self.probes += 1
        return not self.unavailable and not self.full

    def _require(self, key: str) -> None:
        if self.unavailable:
            raise StoreUnavailable("The store is unavailable", "bucket", key)


def opener(database: Database, client: Client, store: Store) -> OpenServices:
    """Opens services on the tests' database, client and store, for `create_app`."""

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncIterator[Services]:
        yield assemble(settings, database, TemporalClient(client), store)

    def open_services(settings: Settings) -> AbstractAsyncContextManager[Services]:
        return opened(settings)

    return open_services


def path(case: CaseNumber, rest: str = "") -> str:
    """The path of a process, or of a resource below it."""
    return f"/api/v1/processes/{case.digits}{rest}"


def problem(response: httpx2.Response, status: int, name: str) -> dict[str, object]:
    """Check that the response is this problem document, and return its members."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert body["type"] == f"urn:autos:problem:{name}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


async def job_started(api: httpx2.AsyncClient, case: CaseNumber) -> None:
    """Wait until another request's job has its row."""
    async with asyncio.timeout(60):
        while not (await api.get("/api/v1/jobs", params={"process_number": case.digits})).json()[
            "items"
        ]:
            await asyncio.sleep(0.01)


def job_of(client: Client, case: CaseNumber) -> WorkflowHandle[object, object]:
    """A handle of the process's newest job."""
    return client.get_workflow_handle(job_workflow_id(case.digits))


async def show(client: Client, database: Database, case: CaseNumber, states: str) -> None:
    """Give the running job documents in these states, with their rows."""
    await write_rows(database, case, states)
    await job_of(client, case).signal("show", states)


async def end(
    client: Client,
    database: Database,
    case: CaseNumber,
    status: JobStatus = JobStatus.COMPLETED,
    reason: Reason | None = None,
) -> None:
    """End the running job: first its row, as `close_job` does, then the workflow."""
    handle = job_of(client, case)
    description = await handle.describe()
    await end_row(
        database, description.raw_description.workflow_execution_info.first_run_id, status, reason
    )
    await handle.signal("end", status)
    await handle.result()


async def end_row(
    database: Database, job_id: str, status: JobStatus, reason: Reason | None = None
) -> None:
    """Write a job's end."""
    async with database.transaction() as session:
        await session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(status=status, reason=reason, completed_at=datetime.now(UTC))
        )
        await announce_jobs(session, [job_id])


async def write_rows(
    database: Database, case: CaseNumber, states: str, job_id: str | None = None
) -> None:
    """Write the process with documents in these states, replacing existing ones."""
    async with database.transaction() as session:
        await processes.ensure(session, case)
        await session.execute(
            update(Process)
            .where(Process.number == case.digits)
            .values(fetched_at=datetime.now(UTC), total_documents=len(states))
        )
        job = await jobs.latest(session, case.digits)
        await session.execute(delete(Document).where(Document.process_number == case.digits))
        session.add_all(
            _document(case, position, letter, job_id or (job.id if job else None))
            for position, letter in enumerate(states)
        )
        await announce(session, case.digits)


async def write_job(database: Database, case: CaseNumber, status: JobStatus) -> str:
    """Write the row of a job that Temporal does not know."""
    job_id = str(uuid.uuid4())
    async with database.transaction() as session:
        await processes.ensure(session, case)
        await jobs.add_pending(session, job_id=job_id, process_number=case.digits)
    await end_row(database, job_id, status)
    return job_id


def _document(case: CaseNumber, position: int, letter: str, job_id: str | None) -> Document:
    state = STATES[letter]
    stored = state is DocumentState.AVAILABLE
    return Document(
        process_number=case.digits,
        position=position,
        source_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{case.digits}/{position}")),
        name=f"Petição {position}",
        state=state,
        doubt=Doubt.SIZE_MISMATCH if letter == DOUBTFUL else None,
        reason=Reason.SECRET if state is DocumentState.FAILED else None,
        sha256=SHA256 if stored else None,
        size=1000 if stored else None,
        content_type="application/pdf" if stored else None,
        job_id=job_id,
    )
