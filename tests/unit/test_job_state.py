"""The state of a job: its pace and its open requests."""

from datetime import UTC, datetime, timedelta

import pytest

from autos.contracts.job_state import JobState, Pace, Retry, Wait
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus
from workflows.progress import details, progress_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def seconds(number: float) -> datetime:
    """This many seconds after the start."""
    return START + timedelta(seconds=number)


def work(pace: Pace, begin: float, end: float, *, every: float, documents: int = 5) -> None:
    """Complete a batch every `every` seconds."""
    pace.work(seconds(begin))
    at = begin + every
    while at <= end:
        pace.count(documents, seconds(at))
        at += every


def test_long_wait_does_not_change_the_pace() -> None:
    """(S30) Only working time counts."""
    pace = Pace()
    work(pace, 0, 100, every=1)
    before = pace.per_second
    pace.rest()
    work(pace, 30_000, 30_010, every=1)
    assert before == pytest.approx(5)
    assert pace.per_second == pytest.approx(5)


def test_pace_is_the_recent_one() -> None:
    """(S30) Older batches have little weight."""
    pace = Pace()
    work(pace, 0, 1000, every=10)
    work(pace, 1000, 1300, every=1)
    assert pace.per_second == pytest.approx(5, rel=0.05)


def test_batches_that_end_at_the_same_time_are_all_counted() -> None:
    """(S30) The workflow's clock does not change within a task."""
    pace = Pace()
    pace.work(START)
    for at in (0, 0, 1, 1, 2, 2):
        pace.count(5, seconds(at))
    pace.count(0, seconds(3))
    assert pace.per_second == pytest.approx(10, rel=0.02)


def test_pace_is_unknown_before_the_first_document() -> None:
    pace = Pace()
    assert pace.per_second is None
    pace.work(START)
    pace.count(0, seconds(5))
    assert pace.per_second is None


def test_estimate_includes_work_and_the_last_retry() -> None:
    """(S30) 160 s and not hours; there is no estimate while the job waits."""
    state = JobState(status=JobStatus.PROCESSING, states="a" * 50 + "p" * 160)
    work(state.pace, 0, 50, every=5)
    asked = progress_of("job", "number", state, None, seconds(50))
    assert asked.documents_per_second == pytest.approx(1)
    assert asked.eta_seconds == 160
    state.retries = [Retry(position=60, due=seconds(1050), reason=Reason.EMPTY)]
    assert progress_of("job", "number", state, None, seconds(50)).eta_seconds == 1000
    wait = Wait(waiting_for=WaitReason.SOURCE, since=START)
    assert progress_of("job", "number", state, wait, seconds(50)).eta_seconds is None


def test_doubtful_documents_are_counted_and_shown() -> None:
    state = JobState(status=JobStatus.PROCESSING, states="aqfp")
    asked = progress_of("job", "number", state, None, START)
    assert (asked.available, asked.doubtful, asked.failed, asked.pending) == (2, 1, 1, 1)
    assert asked.percentage == 75
    assert details(state, None) == (
        "**processing**: 2 of 4 documents available (1 doubtful), 1 failed."
    )


@pytest.mark.parametrize(
    ("fetched", "wanted", "subscription", "max_age", "changes"),
    [
        (10, None, None, 60, False),
        (10, None, None, 5, True),
        (10, 5, None, 5, False),
        (10, 5, None, 1, True),
        (None, None, None, 60, True),
        (None, 60, None, 60, False),
        (None, 60, None, 3600, False),
        (10, None, "known", 60, False),
        (10, None, "new", 60, True),
        (10, None, "known", 5, True),
    ],
)
def test_attach_without_effect_is_recognised(
    fetched: float | None,
    wanted: int | None,
    subscription: str | None,
    max_age: int,
    changes: bool,
) -> None:
    """(S24) The subscription is known, and the metadata are or will be fresh enough."""
    state = JobState(
        fetched_at=None if fetched is None else seconds(-fetched),
        max_age_seconds=wanted,
        subscriptions=["known"],
    )
    assert state.changed_by(subscription, max_age, START) is changes


def test_state_is_passed_to_the_next_run_completely() -> None:
    state = JobState(
        states="apf",
        tried={1: {Reason.TIMEOUT: 1, Reason.SIZE_MISMATCH: 1}},
        retries=[Retry(position=1, due=START, reason=Reason.SIZE_MISMATCH)],
        wait=Wait(waiting_for=WaitReason.CREDENTIAL, since=START, until=seconds(5)),
        paused_since=START,
        nudged=True,
    )
    assert JobState.model_validate_json(state.model_dump_json()) == state
