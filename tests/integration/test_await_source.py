"""The wait for the source, as its activity does it: what it asks, says and writes."""

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
    """Refuses as it is told; `urgent` is what it was asked with."""

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
    """Run one attempt of the activity; what came of it, and the job's row after that."""
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


async def test_a_question_is_answered_at_once_and_written_down(
    database: Database, case: CaseNumber
) -> None:
    """(S25) The row says what is waited for, why, since and until when, and when it asks next."""
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
async def test_what_our_own_breaker_says_is_not_the_sources_word(
    database: Database, case: CaseNumber, refused: Refused, held_back: bool
) -> None:
    """(S16) A refused credential is the source's, though it is not asked each time."""
    result, _ = await run_attempt(database, case, FakeSource(refused))
    assert isinstance(result, SourceCheck)
    assert result.held_back is held_back


async def test_a_wait_begins_with_the_delay_and_asks_nothing(
    database: Database, case: CaseNumber
) -> None:
    """(S25) The question that led to it has just been asked."""
    source = FakeSource(None)
    result, _ = await run_attempt(database, case, source, waiting_for=WaitReason.SOURCE, delay=5)
    assert isinstance(result, ApplicationError)
    assert result.next_retry_delay == timedelta(seconds=5)
    assert source.urgent == []


@pytest.mark.parametrize("attempt", [2, 3, 4, 50])
async def test_a_source_that_still_does_not_work_is_asked_again_by_the_server(
    database: Database, case: CaseNumber, attempt: int
) -> None:
    """(S25) After the schedule's delay, a fifth more or less, by an error that alarms nobody."""
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


async def test_a_wait_of_another_kind_is_the_jobs_to_show(
    database: Database, case: CaseNumber
) -> None:
    """(S25) It answers instead of waiting on under the old name."""
    source = FakeSource(Refused(Reason.CREDENTIAL))
    result, row = await run_attempt(
        database, case, source, attempt=7, waiting_for=WaitReason.SOURCE, delay=5
    )
    assert isinstance(result, SourceCheck)
    assert result.waiting_for is WaitReason.CREDENTIAL
    assert row is not None
    assert row.waiting_for == WaitReason.CREDENTIAL


async def test_a_source_that_works_ends_the_wait_in_the_row_too(
    database: Database, case: CaseNumber
) -> None:
    """(S25) Whoever reads the rows alone sees it at once."""
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
