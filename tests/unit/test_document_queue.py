"""The queue of a job's documents: order, retries and counted attempts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.contracts.download import DocumentOutcome
from autos.contracts.job_state import JobState, Retry
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.retries import RETRIES
from workflows.document_queue import DocumentQueue, looks_like_outage, unconfirmed

START = datetime(2026, 1, 1, tzinfo=UTC)
UNIT = timedelta(seconds=1)


def queue_of(states: str, retries: list[Retry] | None = None) -> DocumentQueue:
    return DocumentQueue(JobState(states=states, retries=retries or []), UNIT)


def test_batches_take_pending_documents_in_order() -> None:
    queue = queue_of("papfpp")
    taken = queue.take(2) + queue.take(5)
    assert [wanted.position for wanted in taken] == [0, 2, 4, 5]
    assert queue.state.states == "dadfdd"


def test_transient_failure_is_retried_when_it_is_due() -> None:
    queue = queue_of("p")
    queue.take(1)
    queue.settle(DocumentOutcome(position=0, reason=Reason.STUB), START)
    due = queue.next_due
    assert due is not None
    assert queue.ready == 0
    queue.make_due_ready(due - timedelta(milliseconds=1))
    assert queue.ready == 0
    queue.make_due_ready(due)
    assert queue.take(1)[0].attempt == 2


def test_retry_after_replaces_a_shorter_delay() -> None:
    queue = queue_of("p")
    queue.take(1)
    queue.settle(
        DocumentOutcome(position=0, reason=Reason.RATE_LIMITED, retry_after_seconds=3600), START
    )
    assert queue.next_due == START + timedelta(hours=1)


def test_request_held_back_by_the_breaker_uses_no_attempt() -> None:
    queue, now = queue_of("p"), START
    held = DocumentOutcome(
        position=0, reason=Reason.UNAVAILABLE, retry_after_seconds=5, unsent=True
    )
    for _ in range(100):
        assert queue.take(1)[0].attempt == 1
        queue.settle(held, now)
        assert queue.next_due == now + timedelta(seconds=5)
        now += timedelta(seconds=5)
        queue.make_due_ready(now)
    assert queue.state.states == "p"


def test_final_outcome_fails_at_once() -> None:
    queue = queue_of("p")
    queue.take(1)
    queue.settle(DocumentOutcome(position=0, reason=Reason.STUB, final=True), START)
    assert queue.state.states == "f"


def test_each_reason_fails_after_the_attempts_of_its_rule() -> None:
    for reason, rule in RETRIES.items():
        queue, now, attempts = queue_of("p"), START, 0
        while queue.count("f") == 0:
            (wanted,) = queue.take(1)
            assert wanted.tried.get(reason, 0) == attempts
            attempts += 1
            queue.settle(DocumentOutcome(position=0, reason=reason), now)
            now = queue.next_due or now
            queue.make_due_ready(now)
        assert attempts == rule.attempts, reason


@pytest.mark.parametrize(
    "reasons",
    [
        [*[Reason.UNAVAILABLE] * 2, *[Reason.SIZE_MISMATCH] * 2],
        [*[Reason.STORAGE] * 9, *[Reason.DOCUMENT_ERROR] * 3],
    ],
)
def test_each_reason_is_counted_separately(reasons: list[Reason]) -> None:
    """(S2) The third attempt of any kind is not the third one with another size.

    (S20) What our own store or disk did not take uses up no attempt at the source.
    """
    queue, now = queue_of("p"), START
    for number, reason in enumerate(reasons):
        (wanted,) = queue.take(1)
        assert wanted.tried.get(reason, 0) == reasons[:number].count(reason)
        assert not wanted.is_last(reason)
        queue.settle(DocumentOutcome(position=0, reason=reason), now)
        now = queue.next_due or now
        queue.make_due_ready(now)
    (wanted,) = queue.take(1)
    assert wanted.is_last(reasons[-1])
    queue.settle(DocumentOutcome(position=0, reason=reasons[-1]), now)
    assert queue.state.states == "f"


def test_doubtful_document_is_available_and_retried_on_request_only() -> None:
    """(S2) Together with failed documents."""
    queue = queue_of("pfa")
    queue.take(1)
    queue.settle(DocumentOutcome(position=0, size=1, doubt=Doubt.SIZE_MISMATCH), START)
    assert (queue.state.states, queue.ready, queue.ended) == ("qfa", 0, 3)
    queue.retry_failed()
    assert [(wanted.position, wanted.attempt) for wanted in queue.take(5)] == [(0, 1), (1, 1)]


@pytest.mark.parametrize(
    ("reasons", "doubted", "for_all"),
    [
        ([None, None], 0, False),
        ([Reason.TIMEOUT, Reason.UNAVAILABLE], 2, True),
        ([Reason.TIMEOUT, None], 0, False),
        ([Reason.TIMEOUT, Reason.SECRET], 0, False),
        ([Reason.CREDENTIAL, None], 1, False),
        ([Reason.CREDENTIAL, Reason.SECRET], 1, False),
        ([Reason.CREDENTIAL, Reason.CREDENTIAL], 2, True),
        ([Reason.CREDENTIAL, Reason.TIMEOUT], 2, True),
    ],
)
def test_outcomes_that_need_a_check_of_the_source(
    reasons: list[Reason | None], doubted: int, for_all: bool
) -> None:
    """(S1) A refused credential always; signs of an outage if there is nothing else."""
    outcomes = [DocumentOutcome(position=at, reason=reason) for at, reason in enumerate(reasons)]
    assert len(unconfirmed(outcomes)) == doubted
    assert looks_like_outage(outcomes) is for_all


def test_released_document_is_requested_without_a_counted_attempt() -> None:
    queue = queue_of("pp")
    queue.take(1)
    refused = [DocumentOutcome(position=0, reason=Reason.TIMEOUT)]
    queue.release(refused)
    assert (queue.state.states, queue.ready) == ("pp", 1)
    queue.requeue(refused)
    assert [(wanted.position, wanted.attempt) for wanted in queue.take(2)] == [(0, 1), (1, 1)]


def test_next_run_requests_documents_that_were_in_flight() -> None:
    retry = Retry(position=3, due=START, reason=Reason.EMPTY)
    queue = DocumentQueue(
        JobState(states="dapp", tried={3: {Reason.EMPTY: 1}}, retries=[retry]), UNIT
    )
    assert queue.state.states == "papp"
    assert [wanted.position for wanted in queue.take(9)] == [0, 2]
    queue.make_due_ready(START)
    assert [wanted.tried for wanted in queue.take(9)] == [{Reason.EMPTY: 1}]


@given(
    st.text("padf", max_size=60),
    st.lists(
        st.tuples(st.sampled_from([None, *Reason]), st.booleans(), st.integers(1, 7)),
        max_size=200,
    ),
)
def test_states_always_sum_to_the_total(
    states: str, steps: list[tuple[Reason | None, bool, int]]
) -> None:
    queue, now = queue_of(states), START
    ended = queue.count("a") + queue.count("f")
    in_flight: list[int] = []
    for reason, final, size in steps:
        in_flight += [wanted.position for wanted in queue.take(size)]
        assert len(in_flight) == len(set(in_flight)) == queue.count("d")
        if in_flight:
            queue.settle(
                DocumentOutcome(position=in_flight.pop(0), reason=reason, final=final), now
            )
        now += timedelta(seconds=7)
        queue.make_due_ready(now)
        assert sum(queue.count(state) for state in "pdaf") == len(states)
        assert queue.ready + len(queue.state.retries) == queue.count("p")
        assert queue.count("a") + queue.count("f") >= ended
        ended = queue.count("a") + queue.count("f")
    queue.fail_unfinished()
    assert queue.count("a") + queue.count("f") == len(states)
