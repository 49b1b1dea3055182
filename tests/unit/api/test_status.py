"""The joining of a job's word with the rows, without any server."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.client import WorkflowExecutionStatus

from api.engine import Silence
from api.status import Wish, assemble, counters, keep_told
from autos.contracts.download import Progress
from autos.contracts.states import JobStatus, Reason
from autos.engine import Execution
from autos.records.models import Job

STATES = st.text(alphabet="pdaf", max_size=300)
RUNNING = JobStatus.PROCESSING
WISH = Wish("99900028620248260100", with_documents=False)


@given(STATES, st.sampled_from(JobStatus))
def test_counters_sum_to_the_total(states: str, status: JobStatus) -> None:
    found = counters(states, status)
    parts = ("completed", "failed", "pending", "processing")
    assert sum(found[f"{part}_documents"] for part in parts) == found["total_documents"]
    assert 0 <= found["progress_percentage"] <= 100
    all_ended = set(states) <= {"a", "f"}
    assert (found["progress_percentage"] == 100) == (
        all_ended if states else status is JobStatus.COMPLETED
    )


@given(st.data())
def test_the_percentage_never_falls_while_the_list_is_the_same(data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 30))
    reads = data.draw(st.lists(st.text(alphabet="pdaf", min_size=length, max_size=length)))
    told, percentage = "", 0.0
    for read in reads:
        told = keep_told(told, read)
        assert len(told) == length
        now = counters(told, RUNNING)["progress_percentage"]
        assert now >= percentage
        percentage = now


def test_a_list_that_grew_is_told_as_it_is() -> None:
    assert keep_told("aa", "adp") == "adp"


def test_a_later_success_replaces_a_failure_that_was_told() -> None:
    assert keep_told("fd", "ad") == "ad"


def test_a_hundred_means_all_of_it() -> None:
    assert counters("a" * 99_999 + "d", RUNNING)["progress_percentage"] < 100


def test_nothing_to_download_is_all_of_it_once_the_job_has_ended() -> None:
    assert counters("", RUNNING)["progress_percentage"] == 0
    assert counters("", JobStatus.COMPLETED)["progress_percentage"] == 100


def _progress() -> Progress:
    return Progress(
        job_id="j",
        process_number=WISH.digits,
        status=RUNNING,
        reason=Reason.UNAVAILABLE,
        bytes_stored=7,
        eta_seconds=9,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _assemble(word: Progress | Silence, job: Job | None) -> dict[str, object]:
    return assemble(WISH, states="", bytes_stored=5, word=word, job=job, job_id="j").model_dump()


def test_the_jobs_word_comes_before_its_row() -> None:
    row = Job(id="j", status=JobStatus.PENDING, reason=None)
    answer = _assemble(_progress(), row)
    assert (answer["status"], answer["live"], answer["bytes_stored"]) == (RUNNING, True, 7)
    assert answer["error_message"] == Reason.UNAVAILABLE.text
    assert answer["started_at"] is not None


def test_silence_is_an_answer_where_nothing_runs() -> None:
    row = Job(id="j", status=JobStatus.FAILED, reason=Reason.NOT_FOUND)
    answer = _assemble(Silence.NOT_RUNNING, row)
    assert (answer["status"], answer["live"]) == (JobStatus.FAILED, True)
    assert answer["reason"] == Reason.NOT_FOUND
    assert _assemble(Silence.UNANSWERED, row)["live"] is False
    assert _assemble(Silence.NOT_RUNNING, None)["status"] == JobStatus.PENDING


@pytest.mark.parametrize(
    ("ended", "states", "told"),
    [
        (WorkflowExecutionStatus.TERMINATED, "ap", "cancelled"),
        (WorkflowExecutionStatus.CANCELED, "pp", "cancelled"),
        (WorkflowExecutionStatus.TIMED_OUT, "ap", "completed_with_failures"),
        (WorkflowExecutionStatus.FAILED, "pp", "failed"),
    ],
)
def test_a_job_that_lost_its_end_is_told_as_ended(
    ended: WorkflowExecutionStatus, states: str, told: str
) -> None:
    lost = Execution("w", "j", "r", ended)
    answers = [
        assemble(
            WISH,
            states=states,
            bytes_stored=0,
            word=Silence.NOT_RUNNING,
            job=Job(id="j", process_number=WISH.digits, status=status),
            job_id="j",
            lost=lost,
        ).status
        for status in (JobStatus.PROCESSING, JobStatus.COMPLETED)
    ]
    # Whatever it did write is believed.
    assert answers == [told, "completed"]
