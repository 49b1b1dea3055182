"""The display of a job's progress."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from api.status.schemas import Status
from cli.client import parse
from cli.progress import describe, progress_display, summary
from tests.unit.cli.fake_api import NUMBER, status


def read(**fields: Any) -> Status:
    return parse(Status, status(**fields))


def test_running_job_shows_its_remaining_time() -> None:
    text = describe(read(completed_documents=1, bytes_stored=2_500_000, eta_seconds=9))
    assert text == "processing: 1 of 3 documents, 2.5 MB, 9 s left"


def test_job_without_metadata_is_marked() -> None:
    assert describe(read(total_documents=0)) == "reading the list of documents"


def test_waiting_job_shows_its_reason() -> None:
    assert "waiting for a new credential" in describe(read(waiting_for="credential"))
    assert "waiting for the tide" in describe(read(waiting_for="the tide"))


def test_job_without_a_worker_is_marked() -> None:
    assert "no worker responds" in describe(read(live=False))
    assert "no worker responds" not in describe(read(live=False, state="completed"))


def test_summary_shows_time_and_failures() -> None:
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


def test_terminal_shows_a_bar() -> None:
    out = StringIO()
    with progress_display(Console(file=out, force_terminal=True, width=120)) as display:
        display.show(NUMBER, read(total_documents=0))
        display.show(NUMBER, read(completed_documents=3, state="completed"))
    assert "100 %" in out.getvalue()


@pytest.mark.parametrize("width", [38, 60, 80])
def test_narrow_terminal_shows_a_bar(width: int) -> None:
    out = StringIO()
    with progress_display(Console(file=out, force_terminal=True, width=width)) as display:
        display.show(NUMBER, read(completed_documents=2, eta_seconds=9))
    shown = [Text.from_ansi(line).plain for line in out.getvalue().splitlines()]
    last = next(line for line in reversed(shown) if "%" in line)
    assert "━━━━" in last
    assert "67 %" in last
    assert "processing" in last
    assert len(last.strip()) <= width


def test_many_processes_have_a_total_bar_and_one_per_running_job() -> None:
    out = StringIO()
    with progress_display(Console(file=out, force_terminal=True, width=120), 3) as display:
        display.show(NUMBER, read(completed_documents=2))
        display.finish(NUMBER, f"{NUMBER}  done")
        display.saving("another", 1, 2)
    shown = Text.from_ansi(out.getvalue()).plain
    assert "1 of 3 processes" in shown
    assert "another  saved 1 of 2 files" in shown
    assert f"{NUMBER}  done" in shown


def test_many_processes_in_a_pipe_are_named() -> None:
    out = StringIO()
    with progress_display(Console(file=out, width=20), 2) as display:
        display.show(NUMBER, read(completed_documents=1))
        display.finish(NUMBER, f"{NUMBER}  completed")
    assert out.getvalue().splitlines() == [
        f"{NUMBER}  processing: 1 of 3 documents, 0 bytes",
        f"{NUMBER}  completed",
    ]


def test_doubtful_documents_are_counted() -> None:
    """Also in the last line, which shows how to list them."""
    doubtful = read(state="completed_with_failures", completed_documents=3, doubtful_documents=1)
    assert "1 doubtful" in describe(doubtful)
    assert "1 doubtful (see `autos documents" in summary(doubtful)


def test_pipe_shows_the_first_and_last_line_of_a_short_job() -> None:
    out = StringIO()
    with progress_display(Console(file=out, width=20)) as display:
        for done in range(3):
            display.show(NUMBER, read(completed_documents=done))
        display.show(NUMBER, read(completed_documents=3, state="completed"))
    assert out.getvalue().splitlines() == [
        "processing: 0 of 3 documents, 0 bytes",
        "completed: 3 of 3 documents, 0 bytes",
    ]
