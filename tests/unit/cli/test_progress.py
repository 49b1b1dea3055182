"""How a job's progress reads."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console

from cli.answers import Status
from cli.progress import describe, progress, summary
from tests.unit.cli.fake_api import status


def read(**fields: Any) -> Status:
    return Status.model_validate(status(**fields))


def test_a_running_job_tells_speed_and_remaining_time() -> None:
    text = describe(
        read(completed_documents=1, bytes_stored=2_500_000, documents_per_second=4, eta_seconds=9)
    )
    assert text == "processing: 1 of 3 documents, 2.5 MB, 4.0 per second, 9 s to go"


def test_before_the_documents_are_known_it_says_so() -> None:
    assert describe(read(total_documents=0)) == "reading the list of documents"


def test_a_waiting_job_tells_for_what() -> None:
    assert "waits for a new credential" in describe(read(waiting_for="credential"))
    assert "waits for the tide" in describe(read(waiting_for="the tide"))


def test_a_job_without_a_worker_says_so() -> None:
    assert "no worker answers" in describe(read(live=False))
    assert "no worker answers" not in describe(read(live=False, state="completed"))


def test_the_summary_tells_time_and_failures() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    text = summary(
        read(
            state="completed_with_failures",
            completed_documents=2,
            failed_documents=1,
            started_at=began,
            completed_at=began + timedelta(seconds=1.5),
        )
    )
    assert text.startswith("completed with failures: 2 of 3 documents stored (0 bytes) in 1.5 s; 1")


def test_a_terminal_shows_a_bar() -> None:
    out = StringIO()
    with progress(Console(file=out, force_terminal=True, width=120)) as show:
        show(read(total_documents=0))
        show(read(completed_documents=3, state="completed"))
    assert "100 %" in out.getvalue()


def test_a_pipe_shows_the_first_and_the_last_line_of_a_short_job() -> None:
    out = StringIO()
    with progress(Console(file=out, width=20)) as show:
        for done in range(3):
            show(read(completed_documents=done))
        show(read(completed_documents=3, state="completed"))
    assert out.getvalue().splitlines() == [
        "processing: 0 of 3 documents, 0 bytes",
        "completed: 3 of 3 documents, 0 bytes",
    ]
