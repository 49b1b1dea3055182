"""Requests for a running job: steering, joining, and requests without effect."""

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
    """Reduces the three seconds for which a GET waits for metadata."""
    monkeypatch.setattr(downloads, "METADATA_PATIENCE_SECONDS", 0.1)


async def attached(temporal: Client, case: CaseNumber) -> int:
    """The number of `attach` signals of the process's newest job."""
    return len(await job_of(temporal, case).query("attached", result_type=list[Attach]))


async def make_events(database: Database, case: CaseNumber, job_id: str) -> list[str]:
    """Create the events of a job's end for every open subscription, as `close_job` does."""
    async with database.transaction() as session:
        opened = await session.scalars(
            select(Subscription.id).where(
                Subscription.process_number == case.digits, Subscription.job_id.is_(None)
            )
        )
        events = await subscriptions.claim(
            session, job_id, JobStatus.COMPLETED, [str(one) for one in opened]
        )
    return list(events)


async def events_of(database: Database, case: CaseNumber) -> int:
    """The number of events of a process."""
    async with database.transaction() as session:
        rows = await session.scalars(
            select(Delivery.id)
            .join(Subscription, Subscription.id == Delivery.subscription_id)
            .where(Subscription.process_number == case.digits)
        )
        return len(rows.all())


# ------------------------------------------------------------------ steering


@pytest.mark.usefixtures("worker")
async def test_closing_job_refuses_steering(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S23) Each route returns 409, not 202 for a request without effect."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    await job_of(temporal, case).signal("close")
    for verb in ("pause", "resume", "retry-failed"):
        problem(await api.post(f"/api/v1/jobs/{job_id}/{verb}"), 409, "job-closing")
    assert await job_of(temporal, case).query("retried", result_type=int) == 0


@pytest.mark.usefixtures("worker")
async def test_steering_returns_its_effect(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S23) The next status shows it, too; retried documents are pending in rows and job."""
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


async def test_steering_without_a_worker_returns_503_in_bounded_time(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(S23) The detail says that no worker responded."""
    monkeypatch.setattr(temporal_client, "PATIENCE_SECONDS", 1.0)
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    async with asyncio.timeout(60):
        answer = problem(await api.post(f"/api/v1/jobs/{job_id}/pause"), 503, "engine-unavailable")
    assert "No worker" in str(answer["detail"])


@pytest.mark.usefixtures("worker")
async def test_job_and_status_have_the_same_counters(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S36) Also while the job runs; and `started_at` is not before `created_at`."""
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
async def test_list_of_jobs_has_the_counters_of_the_status(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S36) The row of a running job has no counters."""
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
async def test_post_without_effect_sends_no_signal(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) Repeated with and without the same webhook; another webhook is attached."""
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
async def test_idempotency_key_alone_sends_no_signal(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) Clients that send a new key with every request do not grow the history."""
    job_id = (await api.post(path(case, "/downloads"))).json()["job_id"]
    for _ in range(3):
        headers = {"Idempotency-Key": str(uuid4())}
        answer = await api.post(path(case, "/downloads"), headers=headers)
        assert (answer.status_code, answer.json()["job_id"]) == (202, job_id)
    assert await attached(temporal, case) == 1


async def test_post_sends_a_signal_when_no_worker_responds(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) Without a worker its effect is unknown, and no accepted request may be lost."""
    for _ in range(3):
        assert (await api.post(path(case, "/downloads"))).status_code == 202
    async with Worker(temporal, task_queue=JOBS_QUEUE, workflows=[FakeJob]):
        assert await attached(temporal, case) == 3


@pytest.mark.usefixtures("worker")
async def test_post_with_idempotency_key_has_its_own_subscription(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client
) -> None:
    """(S24) The key finds it again, also after the job's end."""
    for _ in range(2):
        headers = {"Idempotency-Key": str(uuid4())}
        await api.post(path(case, "/downloads"), json={"webhook_url": HOOK}, headers=headers)
    assert await attached(temporal, case) == 2


@pytest.mark.parametrize("registered", [True, False])
async def test_refusal_of_temporal_is_reported_with_its_cause(registered: bool) -> None:
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

        async def attach_three_times() -> None:
            for _ in range(3):
                await jobs.attach(case, Attach(), JobOptions(), "key")

        with pytest.raises(Problem) as refused, structlog.testing.capture_logs() as logged:
            await attach_three_times()
    (error,) = [entry for entry in logged if entry["event"] == "engine_refused"]
    assert refused.value.kind.name == "engine-unavailable"
    assert ("as many signals as it can take" in refused.value.detail) is registered
    assert error.get("missing") == (None if registered else [SEARCH_ATTRIBUTES[-1].name])


# ------------------------------------------------------------------ nothing to do


@pytest.mark.usefixtures("worker")
async def test_get_notifies_a_webhook_once_per_change(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S31) For a complete and fresh process, only the first of three requests starts a job."""

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
    # Another URL is notified, too, and every URL when a document has changed.
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
async def test_post_always_notifies(
    api: httpx2.AsyncClient, case: CaseNumber, temporal: Client, database: Database
) -> None:
    """(S31) Every webhook gets one event per POST, even if nothing had to be downloaded."""
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
    """Set the documents' ends to an earlier time."""
    earlier = datetime(2026, 1, 1, tzinfo=UTC)
    async with database.transaction() as session:
        await session.execute(
            update(Document)
            .where(Document.process_number == case.digits)
            .values(first_seen_at=earlier, completed_at=earlier)
        )
        await session.execute(
            update(Job).where(Job.process_number == case.digits).values(completed_at=now())
        )
