"""Rows, jobs and objects on real servers, for the tests of reconciliation.

Jobs run the real workflow with a fake source. No worker makes delivery attempts, so started
deliveries keep running.
"""

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from sqlalchemy import delete, select, text
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.jobs import JobActivities
from activities.reconciliation.pages import ReconciliationActivities
from autos import temporal_client
from autos.cnj import CaseNumber
from autos.contracts.download import (
    Attach,
    BatchResult,
    DocumentOutcome,
    DownloadBatch,
    FetchedProcess,
    FetchProcess,
)
from autos.contracts.reconciliation import Kind, Reconcile, ReconcileOptions, Report
from autos.contracts.states import DocumentState
from autos.contracts.temporal_names import (
    JOBS_QUEUE,
    SOURCE_QUEUE,
    delivery_workflow_id,
    job_workflow_id,
)
from autos.records import documents, jobs, processes, subscriptions
from autos.records.database import Database
from autos.records.documents import DocumentRecord
from autos.records.models import ApiKey, Base, Delivery, Document, Job, Process, Subscription, now
from autos.settings import Settings
from autos.store import Store, document_key
from tests.unit.store.conftest import Endpoint
from workflows.download_process import DownloadProcessWorkflow
from workflows.reconcile import ReconcileWorkflow


@dataclass
class World:
    """See the module."""

    database: Database
    client: Client
    store: Store
    settings: Settings
    key_id: uuid.UUID
    metadata_available: asyncio.Event = field(default_factory=asyncio.Event)
    """Jobs fetch no metadata before this event is set."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database: Database, client: Client, endpoint: Endpoint, http: aiohttp.ClientSession
    ) -> AsyncIterator[Self]:
        """An empty world with a worker; its jobs are terminated at the end."""
        settings = endpoint.settings(s3_bucket=f"world-{uuid.uuid4().hex[:8]}")
        store = Store(settings, http)
        await store.ensure_bucket()
        key = ApiKey(name="test", prefix="autos_x", sha256=uuid.uuid4().hex * 2)
        async with database.transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                await session.execute(delete(table))
            session.add(key)
        world = cls(database, client, store, settings, key.id)
        world.metadata_available.set()
        async with world._workers():
            yield world
        async for execution in client.list_workflows("ExecutionStatus='Running'"):
            # Temporal's list lags behind and may contain jobs that have just ended.
            with contextlib.suppress(RPCError):
                await client.get_workflow_handle(execution.id).terminate()

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[None]:
        job_activities = JobActivities(self.database, self.store, self.client)
        reconciliation = ReconciliationActivities(
            self.database, self.store, self.client, self.settings
        )
        async with (
            Worker(
                self.client,
                task_queue=JOBS_QUEUE,
                workflows=[DownloadProcessWorkflow, ReconcileWorkflow],
                activities=[
                    job_activities.record_job,
                    job_activities.close_job,
                    reconciliation.reconcile_page,
                ],
            ),
            Worker(
                self.client,
                task_queue=SOURCE_QUEUE,
                activities=[self._fetch_process, self._download_batch],
            ),
        ):
            yield

    async def reconcile(
        self, *, dry_run: bool = False, grace: int = 0, object_grace: int = 0
    ) -> dict[Kind, tuple[int, int]]:
        """Run a reconciliation; returns the numbers found and repaired by kind."""
        report = await self.report(dry_run=dry_run, grace=grace, object_grace=object_grace)
        assert report.unfinished == []
        return {kind: (tally.found, tally.mended) for kind, tally in report.tallies.kinds.items()}

    async def report(
        self, *, dry_run: bool = False, grace: int = 0, object_grace: int = 0
    ) -> Report:
        """Run a reconciliation and return its report."""
        terms = ReconcileOptions(
            dry_run=dry_run, grace_seconds=grace, object_grace_seconds=object_grace
        )
        async with asyncio.timeout(120):
            return await self.client.execute_workflow(
                ReconcileWorkflow.run,
                Reconcile(terms=terms),
                id=f"reconcile/{uuid.uuid4()}",
                task_queue=JOBS_QUEUE,
            )

    # ------------------------------------------------------------------ making

    async def process(self, case: CaseNumber, states: str = "", *, fetched: bool = True) -> None:
        """Create a process with documents; available ones are stored under their hashes."""
        async with self.database.transaction() as session:
            await processes.ensure(session, case)
            process = await session.get_one(Process, case.digits)
            process.fetched_at = now() if fetched else None
            process.total_documents = len(states)
            for position, letter in enumerate(states):
                content = f"{case.digits}/{position}".encode()
                stored = letter == "a"
                session.add(
                    Document(
                        process_number=case.digits,
                        position=position,
                        source_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{case.digits}/{position}")),
                        addresses=[f"/{position}"],
                        state=DocumentState.AVAILABLE if stored else DocumentState.PENDING,
                        sha256=hashlib.sha256(content).hexdigest() if stored else None,
                        size=len(content) if stored else None,
                    )
                )
        for position, letter in enumerate(states):
            if letter == "a":
                await self.put(case, f"{case.digits}/{position}".encode())

    async def put(self, case: CaseNumber, content: bytes) -> str:
        """Put an object into the store and return its key."""
        key = document_key(case.digits, hashlib.sha256(content).hexdigest())
        await self.store.put_json(key, content)
        return key

    async def subscribe(self, case: CaseNumber) -> uuid.UUID:
        """Create a subscription that no job knows."""
        async with self.database.transaction() as session:
            subscription = await subscriptions.add(
                session,
                process_number=case.digits,
                api_key_id=self.key_id,
                # Subscriptions with equal URLs get one event.
                url=f"https://receiver.example/{uuid.uuid4()}",
                payload="full",
            )
            return subscription.id

    async def row(self, case: CaseNumber, job_id: str | None = None) -> str:
        """Create the row of a pending job, by default of one that Temporal does not know."""
        job_id = job_id or str(uuid.uuid4())
        async with self.database.transaction() as session:
            await jobs.add_pending(session, job_id=job_id, process_number=case.digits)
        return job_id

    async def start(self, case: CaseNumber, subscription: uuid.UUID | None = None) -> str:
        """Start a job without a row; returns its id."""
        attach = Attach(subscription_id=str(subscription) if subscription else None)
        job_options = temporal_client.job_options(self.settings)
        return await temporal_client.attach(self.client, case, attach, job_options, "test")

    async def accept(self, case: CaseNumber) -> tuple[str, uuid.UUID]:
        """Start a job with a subscription, as the API does; returns the ids of both."""
        async with self.database.transaction() as session:
            await processes.ensure(session, case)
        subscription = await self.subscribe(case)
        return await self.row(case, await self.start(case, subscription)), subscription

    # ------------------------------------------------------------------ looking

    def job(self, case: CaseNumber) -> WorkflowHandle[object, object]:
        """The process's newest job."""
        return self.client.get_workflow_handle(job_workflow_id(case.digits))

    async def ended(self, case: CaseNumber) -> None:
        """Wait for the end of the process's newest job."""
        async with asyncio.timeout(120):
            await self.job(case).result()

    async def listed(self, case: CaseNumber) -> None:
        """Wait until Temporal's list of running jobs has this one."""
        query = f'ProcessNumber="{case.digits}" AND ExecutionStatus="Running"'
        async with asyncio.timeout(120):
            while not (await self.client.count_workflows(query)).count:
                await asyncio.sleep(0.05)

    async def job_row(self, job_id: str) -> Job | None:
        async with self.database.transaction() as session:
            return await session.get(Job, job_id)

    async def job_ids(self, case: CaseNumber) -> set[str]:
        async with self.database.transaction() as session:
            query = select(Job.id).where(Job.process_number == case.digits)
            return set(await session.scalars(query))

    async def documents(self, case: CaseNumber) -> list[Document]:
        async with self.database.transaction() as session:
            query = select(Document).filter_by(process_number=case.digits)
            return list(await session.scalars(query.order_by(Document.position)))

    async def events(self, case: CaseNumber) -> list[tuple[uuid.UUID, str, str]]:
        """The events of a process, as (subscription, job, ending)."""
        async with self.database.transaction() as session:
            query = (
                select(Delivery.subscription_id, Delivery.job_id, Delivery.type)
                .join(Subscription, Subscription.id == Delivery.subscription_id)
                .where(Subscription.process_number == case.digits)
            )
            return [
                (subscription, job_id, kind.rpartition(".")[2])
                for subscription, job_id, kind in await session.execute(query)
            ]

    async def running_deliveries(self, case: CaseNumber) -> int:
        """The number of running delivery workflows of a process."""
        async with self.database.transaction() as session:
            query = (
                select(Delivery.id)
                .join(Subscription, Subscription.id == Delivery.subscription_id)
                .where(Subscription.process_number == case.digits)
            )
            events = list(await session.scalars(query))
        found = [
            await temporal_client.newest(self.client, delivery_workflow_id(event))
            for event in events
        ]
        return sum(1 for execution in found if execution is not None and execution.running)

    async def make_older(self, table: str, column: str, interval: str) -> None:
        """Move a timestamp of every row of a table into the past."""
        statement = f"UPDATE {table} SET {column} = {column} - interval '{interval}'"
        async with self.database.transaction() as session:
            await session.execute(text(statement))

    # ------------------------------------------------------------------ the source

    @activity.defn(name="fetch_process")
    async def _fetch_process(self, request: FetchProcess) -> FetchedProcess:
        while not self.metadata_available.is_set():
            activity.heartbeat()
            await asyncio.wait([asyncio.ensure_future(self.metadata_available.wait())], timeout=1)
        async with self.database.transaction() as session:
            number = CaseNumber(request.process_number)
            await jobs.open_job(session, request.job_id, number)
            process = await session.get_one(Process, number.digits)
            process.fetched_at = now()
            begun = await documents.start_documents(session, request.job_id, number.digits)
        return FetchedProcess(
            states=begun.states, bytes_stored=begun.bytes_stored, fetched_at=now()
        )

    @activity.defn(name="download_batch")
    async def _download_batch(self, request: DownloadBatch) -> BatchResult:
        case = CaseNumber(request.process_number)
        for wanted in request.documents:
            content = f"{case.digits}/{wanted.position}".encode()
            await self.put(case, content)
            async with self.database.transaction() as session:
                (row,) = await documents.wanted_documents(session, case.digits, [wanted.position])
            record = DocumentRecord(
                document_id=row.id,
                job_id=request.job_id,
                state=DocumentState.AVAILABLE,
                reason=None,
                started_at=now(),
                completed_at=now(),
                sha256=hashlib.sha256(content).hexdigest(),
                size=len(content),
            )
            async with self.database.transaction() as session:
                await documents.record_attempts(session, [record])
        return BatchResult(
            outcomes=[
                DocumentOutcome(position=wanted.position, size=25) for wanted in request.documents
            ]
        )
