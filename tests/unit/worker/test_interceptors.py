"""The worker's interceptor: heartbeats on progress, and a type for each failure."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.documents import DocumentActivities
from activities.failures import MESSAGES
from autos import stall_watch
from autos.contracts.download import DownloadBatch
from autos.contracts.temporal_names import INTERNAL_ERROR, RECORDS, STORAGE
from autos.records.database import Database, DatabaseUnreachable
from autos.settings import Settings
from autos.source import SourceClient
from autos.stall_watch import stall_seconds
from autos.store import Store, StoreRefused, StoreUnavailable
from worker.interceptors import ActivityInterceptor

SILENCE: Final = 0.2
LONG: Final = 30.0


class Innermost(ActivityInboundInterceptor):
    """Calls the activity."""

    def __init__(self) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await input.fn(*input.args)


class ActivityRunner:
    """Runs activities as a worker does, and counts their heartbeats."""

    def __init__(self) -> None:
        self.beats = 0
        self.beat = asyncio.Event()

    async def run(
        self, function: Callable[..., Awaitable[Any]], *args: object, silence: float = SILENCE
    ) -> Any:
        def note(*_: object) -> None:
            self.beats += 1
            self.beat.set()

        environment = ActivityEnvironment()
        environment.on_heartbeat = note
        chain = ActivityInterceptor(silence).intercept_activity(Innermost())
        given = ExecuteActivityInput(fn=function, args=args, executor=None, headers={})
        async with asyncio.timeout(LONG):
            return await environment.run(chain.execute_activity, given)


@pytest.fixture
def around() -> ActivityRunner:
    return ActivityRunner()


class SilentDatabase(Database):
    """A database that never responds."""

    def __init__(self) -> None:
        pass

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        await asyncio.Event().wait()
        raise AssertionError
        yield


async def test_heartbeats_are_sent_while_a_part_is_slow(around: ActivityRunner) -> None:
    async def activity() -> str:
        await around.beat.wait()
        return "done"

    assert await around.run(activity, silence=LONG) == "done"


async def test_batch_on_a_silent_database_is_given_up(around: ActivityRunner) -> None:
    """(S19) Heartbeats need progress, so it does not take the timeout of 12 hours."""
    batches = DocumentActivities(
        SilentDatabase(), cast(SourceClient, None), cast(Store, None), Path("/nowhere")
    )
    batch = DownloadBatch(job_id="j", process_number="0" * 20, batch=1, documents=[])
    with pytest.raises(ApplicationError) as failed:
        await around.run(batches.download_batch, batch)
    assert failed.value.type == INTERNAL_ERROR


async def test_activity_that_cannot_be_cancelled_sends_no_heartbeats(
    around: ActivityRunner,
) -> None:
    """(S19) Temporal then times it out."""
    cancelled = asyncio.Event()
    last = asyncio.Event()

    async def activity() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        cancelled.set()
        await last.wait()

    running = asyncio.create_task(around.run(activity))
    async with asyncio.timeout(LONG):
        await cancelled.wait()
        beats = around.beats
        # Long enough for three heartbeats.
        await asyncio.sleep(3 * SILENCE)
        last.set()
        await running
    assert around.beats == beats


async def test_progress_and_queueing_do_not_count_as_a_stall(around: ActivityRunner) -> None:
    async def activity() -> str:
        for _ in range(10):
            await asyncio.sleep(SILENCE / 4)
            stall_watch.progressed()
        with stall_watch.queued():
            await asyncio.sleep(3 * SILENCE)
        return "done"

    assert await around.run(activity, silence=SILENCE) == "done"


async def test_queueing_has_a_separate_limit(
    around: ActivityRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_watch, "MAX_QUEUED_SECONDS", 2 * SILENCE)

    async def activity() -> None:
        with stall_watch.queued():
            await asyncio.Event().wait()

    with pytest.raises(ApplicationError) as failed:
        await around.run(activity)
    assert failed.value.type == RECORDS


def test_no_step_takes_longer_than_the_stall_limit() -> None:
    slow = Settings(source_metadata_timeout=400, source_idle_timeout=60)
    assert stall_seconds(slow) > 400
    assert stall_seconds(Settings()) < 15 * 60


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreUnavailable("away", "bucket", "key"), STORAGE),
        (StoreRefused("no bucket", "bucket", "key"), STORAGE),
        (OSError(errno.ENOSPC, "No space left on device"), STORAGE),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), STORAGE),
        (OSError(errno.EIO, "Input/output error"), STORAGE),
        (PoolTimeout(), RECORDS),
        (DatabaseUnreachable(), RECORDS),
        (ExceptionGroup("several", [PoolTimeout(), KeyError()]), RECORDS),
        (FileNotFoundError("/spool"), INTERNAL_ERROR),
        (RecursionError(), INTERNAL_ERROR),
    ],
)
async def test_outages_of_own_parts_have_types(
    around: ActivityRunner, error: Exception, kind: str
) -> None:
    """(S16) By the type, a workflow waits for an outage and ends a defect."""

    async def activity() -> NoReturn:
        raise error

    with pytest.raises(ApplicationError) as failed:
        await around.run(activity)
    assert (failed.value.type, failed.value.message) == (kind, MESSAGES[kind])


async def test_temporal_failure_is_not_changed(around: ActivityRunner) -> None:
    given = ApplicationError("Not yet.", type="not_yet")

    async def activity() -> NoReturn:
        raise given

    with pytest.raises(ApplicationError) as failed:
        await around.run(activity)
    assert failed.value is given
