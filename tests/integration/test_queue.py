"""A job that has not started: its place in the queue and its estimate."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.worker import Worker

from autos.cnj import CaseNumber
from autos.contracts.reasons import WaitReason
from autos.contracts.states import JobStatus
from autos.records import processes
from autos.records.database import Database
from autos.records.jobs import QueuePlace, queue_place
from autos.records.models import Job
from tests.integration.api_parts import end, end_row, path, show

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def job(case: CaseNumber, minute: int, status: JobStatus, **more: object) -> Job:
    """A job created in this minute."""
    created = BEGINNING + timedelta(minutes=minute)
    values = {"id": str(uuid.uuid4()), "process_number": case.digits, "status": status}
    return Job(**values, created_at=created, **more)


@pytest.mark.parametrize(
    ("running", "ended", "expected"),
    [
        (2, 5, QueuePlace(jobs_ahead=3, eta_seconds=25)),
        (2, 0, QueuePlace(jobs_ahead=3, eta_seconds=None)),
        (0, 5, QueuePlace(jobs_ahead=3, eta_seconds=None)),
    ],
)
async def test_queued_job_has_a_place_and_an_estimate(
    database: Database, case: CaseNumber, running: int, ended: int, expected: QueuePlace
) -> None:
    """U1: three before it, two concurrently, ten seconds each; waiting jobs are not running.

    The transaction is rolled back and excludes the jobs of other tests.
    """
    async with database.engine.connect() as connection, AsyncSession(connection) as session:
        await session.execute(delete(Job))
        await processes.ensure(session, case)
        lasted = {
            "started_at": BEGINNING,
            "completed_at": BEGINNING + timedelta(seconds=10),
        }
        session.add_all(job(case, 0, JobStatus.COMPLETED, **lasted) for _ in range(ended))
        session.add_all(
            job(case, 1, JobStatus.PROCESSING, started_at=BEGINNING) for _ in range(running)
        )
        waiting = {"started_at": BEGINNING, "waiting_for": WaitReason.CREDENTIAL}
        session.add(job(case, 1, JobStatus.PROCESSING, **waiting))
        queued = [job(case, minute, JobStatus.PENDING) for minute in range(2, 7)]
        session.add_all(queued)
        await session.flush()
        assert await queue_place(session, queued[3]) == expected
        begun = job(case, 8, JobStatus.PENDING, started_at=BEGINNING)
        session.add(begun)
        await session.flush()
        assert await queue_place(session, begun) is None
        await session.rollback()


async def test_status_of_a_queued_job_shows_place_and_estimate(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database, temporal: Client, worker: Worker
) -> None:
    """U1: until it starts; then the estimate follows its progress."""
    other = CaseNumber.build(9_997_601, 2024, 8, 26, 100)
    lasted = {"started_at": BEGINNING, "completed_at": BEGINNING + timedelta(seconds=10)}
    async with database.transaction() as session:
        await processes.ensure(session, other)
        session.add(job(other, 0, JobStatus.COMPLETED, **lasted))
        running = job(other, 1, JobStatus.PROCESSING, started_at=BEGINNING)
        session.add(running)
    await api.post(path(case, "/downloads"))
    status = (await api.get(path(case, "/status"))).json()
    assert status["status"] == "pending"
    assert status["jobs_ahead"] >= 0
    assert status["eta_seconds"] >= 1
    await show(temporal, database, case, "dp")
    # A cached response may be some tenths of a second old.
    async with asyncio.timeout(60):
        while (begun := (await api.get(path(case, "/status"))).json())["status"] == "pending":
            await asyncio.sleep(0.05)
    assert (begun["status"], begun["jobs_ahead"]) == ("processing", None)
    await end(temporal, database, case)
    await end_row(database, running.id, JobStatus.COMPLETED)
