"""What a request does to a running job: it steers it, joins it, or finds nothing to do."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
import structlog
from sqlalchemy import select, update
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from api import temporal_client
from api.downloads import start as downloads
from api.problems import Problem
from api.temporal_client import TemporalClient
from autos.cnj import CaseNumber
from autos.contracts.download import Attach, JobOptions
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import JOBS_QUEUE, SEARCH_ATTRIBUTES
from autos.records import subscriptions
from autos.records.database import Database
from autos.records.models import Delivery, Document, Job, Subscription, now
from tests.integration.api_parts import end, job_of, path, problem, show, write_rows
from tests.integration.fake_job import FakeJob

HOOK = "https://receiver.example/hook"


@pytest.fixture(autouse=True)
def short_metadata_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GET without metadata need not hold the tests up for three seconds each time."""
    monkeypatch.setattr(downloads, "METADATA_PATIENCE_SECONDS", 0.1)


async def attached(temporal: Client, case: CaseNumber) -> int:
    """How many signals to attach the process's newest job got."""
    return len(await job_of(temporal, case).query("attached", result_type=list[Attach]))


async def make_events(database: Database, case: CaseNumber, job_id: str) -> list[str]:
    """Make the events of a job's end for every open subscription, as `close_job` does."""
    async with database.transaction() as session:
        opened = await session.scalars(
            select(Subscription.id).where(
                Subscription.process_number == case.digits, Subscription.job_id.is_(None)
            )
        )
        return await subscriptions.claim(
            session, job_id, JobStatus.COMPLETED, [str(one) for one in opened]
        )


async def events_of(database: Database, case: CaseNumber) -> int:
    """How many events there are about a process."""
    async with database.transaction() as session:
        rows = await session.scalars(
            select(Delivery.id)
            .join(Subscription, Subscription.id == Delivery.subscription_id)
            .where(Subscription.process_number == case.digits)
        )
        return len(rows.all())


# ------------------------------------------------------------------ steering


@pytest.mark.usefixtures("worker")
async def test_a_job_that_writes_its_end_refuses_to_be_steered(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S23) 409 for each verb, and not 202 for something that is lost."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await job_of(temporal, case).signal("close")
    for verb in ("pause", "resume", "retry-failed"):
        problem(await api.post(f"/api/v1/jobs/{job_id}/{verb}"), 409, "job-closing")
    assert await job_of(temporal, case).query("retried", result_type=int) == 0


@pytest.mark.usefixtures("worker")
async def test_steering_is_visible_in_its_own_answer(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S23) And in the status right after it; what failed is pending in rows and job alike."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await show(temporal, database, case, "afp")
    async with database.transaction() as session:
        await session.execute(
            update(Document)
            .where(Document.process_number == case.digits)
            .values(job_id=job_id, addresses=["/somewhere"], completed_at=now())
        )
    paused = (await api.post(f"/api/v1/jobs/{job_id}/pause")).json()
    assert (paused["waiting_for"], paused["failed_documents"]) == ("operator", 1)
    assert (await api.get(path(case, "/status"))).json()["waiting_for"] == "operator"
    resumed = (await api.post(f"/api/v1/jobs/{job_id}/resume")).json()
    assert resumed["waiting_for"] is None
    assert (await api.post(f"/api/v1/jobs/{job_id}/retry-failed")).status_code == 202
    async with database.transaction() as session:
        rows = await session.scalars(
            select(Document.state)
            .where(Document.process_number == case.digits)
            .order_by(Document.position)
        )
        assert list(rows) == ["available", "pending", "pending"]


async def test_without_a_worker_steering_is_refused_in_bounded_time(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(S23) 503 says that no worker answered, and that the request may still be taken up."""
    monkeypatch.setattr(temporal_client, "PATIENCE_SECONDS", 1.0)
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    async with asyncio.timeout(60):
        answer = problem(await api.post(f"/api/v1/jobs/{job_id}/pause"), 503, "engine-unavailable")
    assert "No worker" in str(answer["detail"])


@pytest.mark.usefixtures("worker")
async def test_a_job_and_its_processes_status_say_the_same(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S36) While it runs, too; and it did not begin before it was made."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await show(temporal, database, case, "aqfdp")
    job = (await api.get(f"/api/v1/jobs/{job_id}")).json()
    status = (await api.get(path(case, "/status"))).json()
    same = job.keys() & status.keys()
    assert same >= {"total_documents", "completed_documents", "failed_documents", "bytes_stored"}
    assert {name: job[name] for name in same} == {name: status[name] for name in same}
    assert (job["total_documents"], job["completed_documents"], job["failed_documents"]) == (
        5,
        2,
        1,
    )
    if job["started_at"] is not None:
        assert job["started_at"] >= job["created_at"]


@pytest.mark.usefixtures("worker")
async def test_the_list_of_jobs_counts_a_running_one_as_its_status_does(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S36) Its row has the counters only once it has ended."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await show(temporal, database, case, "aqfdp")
    status = (await api.get(path(case, "/status"))).json()
    listing = await api.get("/api/v1/jobs", params={"process_number": case.digits})
    (listed,) = listing.json()["items"]
    assert listed["id"] == job_id
    numbers = {"total_documents", "completed_documents", "doubtful_documents", "failed_documents"}
    for name in (*numbers, "bytes_stored"):
        assert (name, listed[name]) == (name, status[name])


# ------------------------------------------------------------------ joining


@pytest.mark.usefixtures("worker")
async def test_a_post_that_changes_nothing_sends_nothing(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) Repeated a hundred times, with and without the same webhook; others are heard."""
    body = {"webhook_url": HOOK}
    job_id = (await api.post(path(case, "/downloads"), json=body)).json()["job_id"]
    before = (await job_of(temporal, case).describe()).history_length
    for _ in range(10):
        for content in ({}, body):
            answer = await api.post(path(case, "/downloads"), json=content)
            assert (answer.status_code, answer.json()["job_id"]) == (202, job_id)
    assert (await job_of(temporal, case).describe()).history_length == before
    assert await attached(temporal, case) == 1
    await api.post(path(case, "/downloads"), json={"webhook_url": f"{HOOK}/other"})
    await api.post(path(case, "/downloads"), json={"force_refresh": True})
    assert await attached(temporal, case) == 3


@pytest.mark.usefixtures("worker")
async def test_an_idempotency_key_alone_changes_nothing(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) Clients that send a new one with every request do not make the history grow."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    for _ in range(3):
        headers = {"Idempotency-Key": str(uuid4())}
        answer = await api.post(path(case, "/downloads"), headers=headers)
        assert (answer.status_code, answer.json()["job_id"]) == (202, job_id)
    assert await attached(temporal, case) == 1


async def test_in_doubt_a_post_is_sent(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) Without a worker it is not known that it changes nothing: nothing accepted is lost."""
    for _ in range(3):
        assert (await api.post(path(case, "/downloads"))).status_code == 202
    async with Worker(temporal, task_queue=JOBS_QUEUE, workflows=[FakeJob]):
        assert await attached(temporal, case) == 3


@pytest.mark.usefixtures("worker")
async def test_an_idempotent_post_has_a_subscription_of_its_own(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) By its key it is found again, after the job's end, too."""
    for _ in range(2):
        headers = {"Idempotency-Key": str(uuid4())}
        await api.post(path(case, "/downloads"), json={"webhook_url": HOOK}, headers=headers)
    assert await attached(temporal, case) == 2


@pytest.mark.parametrize("registered", [True, False])
async def test_what_temporal_refuses_is_called_by_its_cause(registered: bool) -> None:
    """(S24) Too many signals and a missing search attribute have the same status code."""
    case = CaseNumber.build(9_994_321, 2024, 8, 26, 100)
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        dev_server_extra_args=[
            "--dynamic-config-value",
            "history.maximumSignalsPerExecution=2",
        ],
        search_attributes=SEARCH_ATTRIBUTES if registered else SEARCH_ATTRIBUTES[:-1],
        data_converter=pydantic_data_converter,
        dev_server_log_level="error",
    ) as environment:
        jobs = TemporalClient(environment.client)

        async def ask_often() -> None:
            for _ in range(3):
                await jobs.attach(case, Attach(), JobOptions(), "key")

        with pytest.raises(Problem) as refused, structlog.testing.capture_logs() as logged:
            await ask_often()
    (error,) = [entry for entry in logged if entry["event"] == "engine_refused"]
    assert refused.value.kind.name == "engine-unavailable"
    assert ("as many signals as it can take" in refused.value.detail) is registered
    assert error.get("missing") == (None if registered else [SEARCH_ATTRIBUTES[-1].name])


# ------------------------------------------------------------------ nothing to do


@pytest.mark.usefixtures("worker")
async def test_a_get_notifies_a_webhook_once_per_change(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S31) Of a complete and fresh process: the first of three starts a job, which notifies it."""

    async def look(url: str = HOOK) -> str | None:
        answer = await api.get(path(case), params={"webhook_url": url})
        assert answer.status_code in (200, 202)
        job_id: str | None = answer.json()["job_id"]
        return job_id

    await write_rows(database, case, "aa")
    await settle(database, case)
    first = await look()
    assert first is not None
    await make_events(database, case, first)
    await end(temporal, database, case)
    for _ in range(2):
        assert await look() == first
    assert await events_of(database, case) == 1
    # Another URL is notified, too; and every one when a document has changed.
    other = await look(f"{HOOK}/other")
    assert other not in (None, first)
    assert other is not None
    await make_events(database, case, other)
    await end(temporal, database, case)
    assert await look() == other
    async with database.transaction() as session:
        await session.execute(
            update(Document)
            .where(Document.process_number == case.digits, Document.position == 1)
            .values(completed_at=now())
        )
    assert await look() not in (first, other)


@pytest.mark.usefixtures("worker")
async def test_a_post_always_notifies(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S31) It is a command: every webhook gets one event for it, whatever there was to do."""
    await write_rows(database, case, "aa")
    await settle(database, case)
    event_ids = []
    for _ in range(2):
        answer = await api.post(path(case, "/downloads"), json={"webhook_url": HOOK})
        job_id = answer.json()["job_id"]
        event_ids += await make_events(database, case, job_id)
        await end(temporal, database, case)
    assert len(set(event_ids)) == 2


async def settle(database: Database, case: CaseNumber) -> None:
    """The documents ended a while ago."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    async with database.transaction() as session:
        await session.execute(
            update(Document)
            .where(Document.process_number == case.digits)
            .values(first_seen_at=moment, completed_at=moment)
        )
        await session.execute(
            update(Job).where(Job.process_number == case.digits).values(completed_at=now())
        )
