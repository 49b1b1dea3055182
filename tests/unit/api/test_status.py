"""Joining a job's report with its rows, without servers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.client import WorkflowExecutionStatus

from api.status.snapshots import assemble, counters, merged
from api.temporal_client import JobReport
from autos.contracts.download import Progress
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus
from autos.records.documents import DocumentStates
from autos.records.models import Job
from autos.temporal_client import Execution

STATES = st.text(alphabet="pdaqf", max_size=300)
RUNNING = JobStatus.PROCESSING
NOON = datetime(2026, 1, 1, tzinfo=UTC)
DIGITS = "99900028620248260100"


@given(STATES, st.sampled_from(JobStatus))
def test_counters_sum_to_the_total(states: str, status: JobStatus) -> None:
    found = counters(states, status)
    parts = ("completed", "failed", "pending", "processing")
    assert sum(found[f"{part}_documents"] for part in parts) == found["total_documents"]
    assert 0 <= found["progress_percentage"] <= 100
    assert found["doubtful_documents"] == states.count("q") <= found["completed_documents"]
    all_ended = set(states) <= {"a", "q", "f"}
    assert (found["progress_percentage"] == 100) == (
        all_ended if states else status is JobStatus.COMPLETED
    )


@given(st.data())
def test_percentage_never_falls_between_job_and_rows(data: st.DataObject) -> None:
    """F16: a row ends first, the job learns it with the batch, and may not respond in between."""
    ends = data.draw(st.lists(st.sampled_from("aqf"), max_size=12))
    rows, job, percentage = "p" * len(ends), "d" * len(ends), 0.0
    while job != "".join(ends):
        position = data.draw(st.sampled_from([i for i, _ in enumerate(ends) if job[i] == "d"]))
        if rows[position] == "p":
            rows = rows[:position] + ends[position] + rows[position + 1 :]
        else:
            job = job[:position] + ends[position] + job[position + 1 :]
        states = merged(rows, job if data.draw(st.booleans()) else "")
        now = counters(states, RUNNING)["progress_percentage"]
        assert now >= percentage
        percentage = now


@pytest.mark.parametrize(
    ("rows", "job", "shown"),
    [
        ("aqf", "ddd", "aqf"),
        ("ppp", "dfp", "dfp"),
        # A retry is shown at once.
        ("ffa", "pfp", "pfa"),
        # The job defines the list of documents.
        ("aa", "adp", "aap"),
        ("aap", "dd", "aa"),
        ("apf", "", "apf"),
    ],
)
def test_document_that_ended_in_its_row_has_ended(rows: str, job: str, shown: str) -> None:
    """(S23, S36)"""
    assert merged(rows, job) == shown


def test_hundred_per_cent_means_all_documents() -> None:
    assert counters("a" * 99_999 + "d", RUNNING)["progress_percentage"] < 100


def test_ended_job_without_documents_is_at_hundred_per_cent() -> None:
    assert counters("", RUNNING)["progress_percentage"] == 0
    assert counters("", JobStatus.COMPLETED)["progress_percentage"] == 100


def _progress() -> Progress:
    return Progress(
        job_id="j",
        process_number=DIGITS,
        status=RUNNING,
        reason=Reason.UNAVAILABLE,
        bytes_stored=7,
        eta_seconds=9,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _assemble(report: JobReport, job: Job | None) -> dict[str, object]:
    return assemble(DIGITS, DocumentStates("", bytes_stored=5), report, job, "j").model_dump()


def _row(status: JobStatus, **values: object) -> Job:
    return Job(id="j", status=status, created_at=NOON, **values)


def test_jobs_report_takes_precedence_over_its_row() -> None:
    answer = _assemble(JobReport(_progress()), _row(JobStatus.PENDING))
    assert (answer["status"], answer["live"], answer["bytes_stored"]) == (RUNNING, True, 5)
    assert answer["error_message"] == Reason.UNAVAILABLE.text
    assert answer["started_at"] is not None


def test_job_does_not_start_before_its_creation() -> None:
    """(S36) Another machine writes its row after the start."""
    progress = _progress().model_copy(update={"started_at": NOON - timedelta(seconds=1)})
    answer = _assemble(JobReport(progress), _row(JobStatus.PENDING))
    assert answer["started_at"] == answer["created_at"] == NOON


def test_limit_of_a_wait_comes_from_the_row() -> None:
    """(S16) The job reports only what it waits for."""
    waiting = _progress().model_copy(update={"waiting_for": WaitReason.SOURCE})
    until, next_try = NOON + timedelta(days=7), NOON + timedelta(minutes=1)
    row = _row(RUNNING, waiting_for="source", waiting_until=until, next_try_at=next_try)
    for report in (JobReport(waiting), JobReport(answered=False)):
        answer = _assemble(report, row)
        shown = (answer["waiting_for"], answer["waiting_until"], answer["next_try_at"])
        assert shown == ("source", until, next_try)
    answer = _assemble(JobReport(_progress()), row)
    assert (answer["waiting_until"], answer["next_try_at"]) == (None, None)


def test_missing_progress_is_valid_without_a_running_job() -> None:
    row = _row(JobStatus.FAILED, reason=Reason.NOT_FOUND)
    answer = _assemble(JobReport(), row)
    assert (answer["status"], answer["live"]) == (JobStatus.FAILED, True)
    assert answer["reason"] == Reason.NOT_FOUND
    assert _assemble(JobReport(answered=False), row)["live"] is False
    assert _assemble(JobReport(), None)["status"] == JobStatus.PENDING


@pytest.mark.parametrize(
    ("ended", "states", "shown"),
    [
        (WorkflowExecutionStatus.TERMINATED, "ap", "cancelled"),
        (WorkflowExecutionStatus.CANCELED, "pp", "cancelled"),
        (WorkflowExecutionStatus.TIMED_OUT, "ap", "completed_with_failures"),
        (WorkflowExecutionStatus.FAILED, "pp", "failed"),
    ],
)
def test_job_that_did_not_record_its_end_is_shown_as_ended(
    ended: WorkflowExecutionStatus, states: str, shown: str
) -> None:
    lost = Execution("w", "j", "r", ended)
    answers = [
        assemble(
            DIGITS,
            DocumentStates(states, bytes_stored=0),
            JobReport(execution=lost),
            _row(status, process_number=DIGITS),
            "j",
            lost,
        ).status
        for status in (JobStatus.PROCESSING, JobStatus.COMPLETED)
    ]
    # A recorded end takes precedence.
    assert answers == [shown, "completed"]
