"""Findings during a round: unchanged statuses, and cases delayed by faults of others."""

import pytest

from tests.drills.client import Caller
from tests.drills.plan import Action, Case, Fault, Kill, Round
from tests.drills.play import PlayedCase, Unanswered, held_up
from tests.e2e.clients import Api


def status(**other: object) -> dict[str, object]:
    """A running job's status."""
    return {
        "status": "processing",
        "job_id": "job",
        "live": True,
        "waiting_for": None,
        "next_try_at": None,
        "completed_documents": 1,
    } | other


@pytest.mark.parametrize(
    ("second", "longest"),
    [
        (status(), 60.0),
        (status(completed_documents=2), 0.0),
        (status(waiting_for="records"), 0.0),
        (status(live=False), 0.0),
        (status(next_try_at="2026-01-01T00:00:00Z"), 0.0),
    ],
)
def test_unchanged_status_without_a_reason_is_measured(
    second: dict[str, object], longest: float
) -> None:
    times = iter((0.0, 0.0, 0.0, 60.0, 60.0, 60.0))
    unchanged = Unanswered(lambda: next(times))
    unchanged.observe(status())
    unchanged.observe(second)
    assert unchanged.longest == longest


def played(api: Api, *waits: set[str]) -> list[PlayedCase]:
    """Cases whose status showed these waits."""
    plan = Case(20, "simple", 1, ())
    return [PlayedCase(plan, {"number": "1"}, Caller(api), waits=each) for each in waits]


@pytest.mark.parametrize(
    ("actions", "waits", "found"),
    [
        ((Fault(0, "hang", 0),), (set(), {"credential"}), 1),
        ((Fault(0, "hang", 0),), ({"credential"}, set()), 0),
        ((Fault(0, "hang", 0),), (set(), {"operator"}), 0),
        ((Fault(0, "hang", None),), (set(), {"source"}), 0),
        ((Fault(0, "hang", 0), Kill(0, "s3")), (set(), {"storage"}), 0),
    ],
)
def test_fault_of_one_case_does_not_delay_others(
    actions: tuple[Action, ...], waits: tuple[set[str], ...], found: int
) -> None:
    cases = played(Api.__new__(Api), *waits)
    plan = Round(1, 100, 3000, tuple(case.plan for case in cases), actions)
    assert len(held_up(plan, cases)) == found
