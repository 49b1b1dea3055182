"""The circuit breaker, with a fake clock."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.contracts.reasons import Reason
from autos.source.limits.breaker import (
    FAILURES_TO_OPEN,
    OPEN_DELAYS,
    OUTAGE,
    TRIAL_DELAY,
    Breaker,
)
from autos.source.replies.judge import RETRY_AFTER_CAP, Refused

UNIT = 2.0
FIRST_SECONDS, LONGEST_SECONDS = OPEN_DELAYS.delays[0] * UNIT, OPEN_DELAYS.delays[-1] * UNIT
DOWN = Refused(Reason.UNAVAILABLE)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def breaker_of(clock: Clock, jitter: float = 1.0) -> Breaker:
    return Breaker(clock, lambda: jitter, UNIT)


def opened(clock: Clock) -> Breaker:
    breaker = breaker_of(clock)
    for _ in range(FAILURES_TO_OPEN):
        breaker.record(DOWN, trial=False)
    return breaker


@pytest.mark.parametrize("reason", sorted(OUTAGE))
def test_breaker_opens_after_consecutive_failures(reason: Reason) -> None:
    breaker = breaker_of(Clock())
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.reject() is None
        breaker.record(Refused(reason), trial=False)
    refused = breaker.reject()
    assert refused == Refused(reason, retry_after=FIRST_SECONDS, unsent=True)


@pytest.mark.parametrize("reason", [None, *sorted(set(Reason) - OUTAGE)])
def test_successes_and_refusals_of_documents_do_not_open_the_breaker(
    reason: Reason | None,
) -> None:
    breaker = breaker_of(Clock())
    for _ in range(5):
        for _ in range(FAILURES_TO_OPEN - 1):
            breaker.record(DOWN, trial=False)
        breaker.record(None if reason is None else Refused(reason), trial=False)
    assert breaker.reject() is None


def test_successful_trial_closes_the_breaker() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = FIRST_SECONDS
    assert breaker.reject() is None
    second = breaker.reject()
    assert second is not None
    assert second.retry_after == TRIAL_DELAY * UNIT
    breaker.record(None, trial=True)
    assert breaker.reason is None
    assert breaker.reject() is None


def test_failed_trials_extend_the_opening_up_to_a_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    seconds = [breaker.seconds_left]
    for _ in range(2000):
        clock.now += breaker.seconds_left
        assert breaker.reject() is None
        breaker.record(DOWN, trial=True)
        seconds.append(breaker.seconds_left)
    assert seconds[:4] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]
    assert seconds == sorted(seconds)
    assert max(seconds) == pytest.approx(LONGEST_SECONDS)


def test_success_resets_the_breaker() -> None:
    clock = Clock()
    breaker = opened(clock)
    for answer in (DOWN, DOWN, None):
        clock.now += breaker.seconds_left
        assert breaker.reject() is None
        breaker.record(answer, trial=True)
    for _ in range(FAILURES_TO_OPEN):
        breaker.record(DOWN, trial=False)
    assert breaker.seconds_left == FIRST_SECONDS


def test_requests_in_flight_at_the_opening_change_nothing() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 1.0
    for late in (DOWN, None):
        breaker.record(late, trial=False)
    assert breaker.seconds_left == FIRST_SECONDS - 1


def test_urgent_request_is_an_early_trial() -> None:
    breaker = opened(Clock())
    assert breaker.reject(urgent=True) is None
    assert breaker.reject(urgent=True) is not None
    breaker.record(None, trial=True)
    assert breaker.reject() is None


def test_cancelled_trial_allows_the_next_one() -> None:
    breaker = opened(Clock())
    assert breaker.reject(urgent=True) is None
    breaker.abandon_trial()
    assert breaker.reject() is not None
    assert breaker.reject(urgent=True) is None


@pytest.mark.parametrize("reason", [Reason.RATE_LIMITED, Reason.UNAVAILABLE, Reason.BLOCKED])
def test_retry_after_rejects_all_requests_for_its_time(reason: Reason) -> None:
    clock = Clock()
    breaker = breaker_of(clock)
    breaker.record(Refused(reason, retry_after=30), trial=False)
    breaker.record(Refused(reason, retry_after=20), trial=False)
    clock.now = 29.0
    assert breaker.reject() == Refused(reason, retry_after=1.0, unsent=True)
    clock.now = 30.0
    assert breaker.reject() is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, *OUTAGE, Reason.RATE_LIMITED, Reason.NOT_FOUND]),
            st.one_of(st.none(), st.floats(0, RETRY_AFTER_CAP)),
            st.booleans(),
            st.floats(0, 100),
        ),
        max_size=60,
    ),
    st.floats(0.8, 1.2),
)
def test_breaker_opens_for_a_bounded_time_with_one_trial(
    steps: list[tuple[Reason | None, float | None, bool, float]], jitter: float
) -> None:
    # Adding and subtracting times may round up.
    bound = max(1.2 * LONGEST_SECONDS, RETRY_AFTER_CAP) + 1e-6
    clock = Clock()
    breaker = breaker_of(clock, jitter)
    for reason, retry_after, urgent, passed in steps:
        held = breaker.reject(urgent=urgent)
        trial = held is None and breaker.reason is not None
        if trial:
            assert breaker.reject(urgent=True) is not None
        if held is None:
            breaker.record(
                None if reason is None else Refused(reason, retry_after=retry_after), trial=trial
            )
        else:
            assert held.unsent
            assert not held.final
            assert 0 < (held.retry_after or 0) <= bound
        assert breaker.seconds_left <= bound
        clock.now += passed
