"""A job's progress: the result of its query, and the details shown in the Web UI."""

from datetime import datetime

from autos.contracts.download import (
    AVAILABLE,
    DOUBTFUL,
    FAILED,
    PENDING,
    PROCESSING,
    Progress,
    percentage,
)
from autos.contracts.job_state import JobState, Wait

_RETRIES_SHOWN = 100


def progress_of(
    job_id: str, process_number: str, state: JobState, wait: Wait | None, now: datetime
) -> Progress:
    """A consistent snapshot of the job."""
    states = state.states
    available, doubtful = states.count(AVAILABLE), states.count(DOUBTFUL)
    failed = states.count(FAILED)
    due = state.retries[0].due if state.retries else None
    return Progress(
        job_id=job_id,
        process_number=process_number,
        status=state.status,
        waiting_for=wait.waiting_for if wait else None,
        waiting_since=wait.since if wait else None,
        waiting_until=wait.until if wait else None,
        next_try_at=None if wait else state.next_reading_at or due,
        reason=state.reason,
        states=states,
        total=len(states),
        pending=states.count(PENDING),
        processing=states.count(PROCESSING),
        available=available + doubtful,
        doubtful=doubtful,
        failed=failed,
        percentage=percentage(available + doubtful + failed, len(states), state.status),
        bytes_stored=state.bytes_stored,
        retries=state.retries[:_RETRIES_SHOWN],
        started_at=state.started_at,
        documents_per_second=None if state.status.ended else state.pace.per_second,
        eta_seconds=None if wait else _eta_seconds(state, now),
    )


def details(state: JobState, wait: Wait | None) -> str:
    """A summary of the progress as Markdown for the Web UI."""
    doubtful, failed = state.states.count(DOUBTFUL), state.states.count(FAILED)
    available = state.states.count(AVAILABLE) + doubtful
    doubtful_part = f" ({doubtful} doubtful)" if doubtful else ""
    waiting = ""
    if wait is not None:
        until = f", until {utc(wait.until)} at the latest" if wait.until else ""
        waiting = f"\n\nWaiting for **{wait.waiting_for}** since {utc(wait.since)}{until}."
    return (
        f"**{state.status}**: {available} of {len(state.states)} documents "
        f"available{doubtful_part}, {failed} failed.{waiting}"
    )


def _eta_seconds(state: JobState, now: datetime) -> int | None:
    """Seconds until all documents have ended, at the recent pace; None where it is unknown."""
    if state.status.ended or not state.pace.per_second:
        return None
    left = state.states.count(PENDING) + state.states.count(PROCESSING)
    seconds = left / state.pace.per_second
    if state.retries:
        seconds = max(seconds, (state.retries[-1].due - now).total_seconds())
    return round(seconds)


def utc(time: datetime) -> str:
    """Format a time of the workflow's clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
