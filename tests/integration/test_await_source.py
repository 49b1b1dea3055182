"""The activity that waits for the source: its requests, results and rows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from activities.process import ProcessActivities
from autos.cnj import CaseNumber
from autos.contracts.download import AwaitSource, SourceCheck
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.retries import OUTAGE_DELAYS
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import SOURCE_REFUSED
from autos.records import jobs
from autos.records.database import Database
from autos.records.models import Job
from autos.source import SourceClient
from autos.source.replies.judge import Refused

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=7)


class FakeSource:
    """Returns a fixed refusal; `urgent` has the argument of each call."""

    def __init__(self, refused: Refused | None) -> None:
        self.refused = refused
        self.urgent: list[bool] = []

    async def probe(self, number: CaseNumber, *, urgent: bool) -> Refused | None:
        self.urgent.append(urgent)
        return self.refused


async def run_attempt(
    database: Database,
    case: CaseNumber,
    source: FakeSource,
    *,
    attempt: int = 1,
    waiting_for: WaitReason | None = None,
    delay: float = 0.0,
    urgent: bool = False,
) -> tuple[SourceCheck | ApplicationError, Job | None]:
    """Run one attempt of the activity; returns its result or error, and the job's row."""
    request = AwaitSource(
        job_id=f"job-{case.digits}",
        process_number=case.digits,
        status=JobStatus.PROCESSING,
        waiting_for=waiting_for,
        since=SINCE,
        until=UNTIL,
        delay_seconds=delay,
        retry_unit_seconds=2,
        urgent=urgent,
    )
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    activities = ProcessActivities(database, cast(SourceClient, source))
    result: SourceCheck | ApplicationError
    try:
        result = await environment.run(activities.await_source, request)
    except ApplicationError as error:
        result = error
    async with database.transaction() as session:
        return result, await jobs.get(session, request.job_id)


async def test_check_returns_its_result_and_records_the_wait(
    database: Database, case: CaseNumber
) -> None:
    """(S25) The row has the wait, its reason, start and limit, and the next check."""
    before = datetime.now(UTC)
    result, row = await run_attempt(
        database, case, FakeSource(Refused(Reason.RATE_LIMITED, retry_after=90)), urgent=True
    )
    assert isinstance(result, SourceCheck)
    assert (result.reason, result.waiting_for) == (Reason.RATE_LIMITED, WaitReason.SOURCE)
    assert result.delay_seconds == 90
    assert row is not None
    assert (row.waiting_for, row.reason) == (WaitReason.SOURCE, Reason.RATE_LIMITED)
    assert (row.waiting_since, row.waiting_until) == (SINCE, UNTIL)
    assert row.next_try_at is not None
    assert before + timedelta(seconds=90) <= row.next_try_at
    assert row.next_try_at <= datetime.now(UTC) + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("refused", "held_back"),
    [
        (Refused(Reason.RATE_LIMITED, retry_after=5, unsent=True), True),
        (Refused(Reason.RATE_LIMITED, retry_after=5), False),
        (Refused(Reason.CREDENTIAL, unsent=True), False),
    ],
)
async def test_refusal_by_the_breaker_is_marked_as_held_back(
    database: Database, case: CaseNumber, refused: Refused, held_back: bool
) -> None:
    """(S16) A refused credential is not, although no request was sent."""
    result, _ = await run_attempt(database, case, FakeSource(refused))
    assert isinstance(result, SourceCheck)
    assert result.held_back is held_back


async def test_wait_starts_with_the_delay_and_no_request(
    database: Database, case: CaseNumber
) -> None:
    """(S25) The check that led to the wait has just been made."""
    source = FakeSource(None)
    result, _ = await run_attempt(database, case, source, waiting_for=WaitReason.SOURCE, delay=5)
    assert isinstance(result, ApplicationError)
    assert result.next_retry_delay == timedelta(seconds=5)
    assert source.urgent == []


@pytest.mark.parametrize("attempt", [2, 3, 4, 50])
async def test_failing_source_is_checked_again_by_the_server(
    database: Database, case: CaseNumber, attempt: int
) -> None:
    """(S25) After the schedule's delay, up to a fifth more or less, with a benign error."""
    source = FakeSource(Refused(Reason.UNAVAILABLE))
    result, row = await run_attempt(
        database, case, source, attempt=attempt, waiting_for=WaitReason.SOURCE, delay=5
    )
    assert isinstance(result, ApplicationError)
    assert (result.type, result.non_retryable) == (SOURCE_REFUSED, False)
    assert result.category is ApplicationErrorCategory.BENIGN
    assert result.next_retry_delay is not None
    delay = OUTAGE_DELAYS.delay_after(attempt) * 2
    assert 0.8 * delay <= result.next_retry_delay.total_seconds() <= 1.2 * delay
    assert row is not None
    assert row.waiting_for == WaitReason.SOURCE


async def test_changed_wait_is_returned_to_the_job(database: Database, case: CaseNumber) -> None:
    """(S25) The activity returns, so that the job shows the new wait."""
    source = FakeSource(Refused(Reason.CREDENTIAL))
    result, row = await run_attempt(
        database, case, source, attempt=7, waiting_for=WaitReason.SOURCE, delay=5
    )
    assert isinstance(result, SourceCheck)
    assert result.waiting_for is WaitReason.CREDENTIAL
    assert row is not None
    assert row.waiting_for == WaitReason.CREDENTIAL


async def test_working_source_clears_the_wait_in_the_row(
    database: Database, case: CaseNumber
) -> None:
    """(S25) The row shows it before the workflow continues."""
    await run_attempt(database, case, FakeSource(Refused(Reason.TIMEOUT)))
    result, row = await run_attempt(
        database, case, FakeSource(None), attempt=3, waiting_for=WaitReason.SOURCE, delay=5
    )
    assert result == SourceCheck()
    assert row is not None
    assert (row.waiting_for, row.waiting_since, row.waiting_until, row.next_try_at, row.reason) == (
        None,
        None,
        None,
        None,
        None,
    )
