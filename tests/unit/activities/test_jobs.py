"""The activities about a job's own records say that they are alive while the database is slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.testing import ActivityEnvironment

from activities.jobs import JobActivities
from autos.contracts.download import CloseJob, RecordJob
from autos.contracts.states import JobStatus
from autos.records.database import Database
from autos.store import Store

NUMBER = "99900012120244036100"


class Reached(Exception):
    """The database answered."""


class SlowDatabase(Database):
    """Answers once the activity has said that it is alive."""

    def __init__(self, alive: asyncio.Event) -> None:
        self._alive = alive

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        await asyncio.wait_for(self._alive.wait(), 5)
        raise Reached
        yield


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("record_job", RecordJob(job_id="j", process_number=NUMBER, status=JobStatus.PROCESSING)),
        ("close_job", CloseJob(job_id="j", process_number=NUMBER, states="")),
    ],
)
async def test_it_beats_while_it_waits(name: str, request_: RecordJob | CloseJob) -> None:
    alive = asyncio.Event()
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: alive.set()
    activities = JobActivities(SlowDatabase(alive), cast(Store, None))
    with pytest.raises(Reached):
        await environment.run(getattr(activities, name), request_)
