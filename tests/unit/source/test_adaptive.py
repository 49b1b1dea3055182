"""Additive increase, multiplicative decrease: numbers only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.source.courtesy.adaptive_limit import AdaptiveLimit


def test_failures_of_one_round_halve_it_once() -> None:
    limit = AdaptiveLimit(16)
    begun = limit.round
    for _ in range(5):
        limit.overloaded(begun)
    assert limit.value == 8
    limit.overloaded(limit.round)
    assert limit.value == 4


@given(st.integers(1, 64))
def test_a_round_of_answers_adds_about_one(most: int) -> None:
    limit = AdaptiveLimit(most)
    limit.overloaded(limit.round)
    before = limit.value
    for _ in range(before + 1):
        limit.succeeded()
    assert min(most, before + 1) <= limit.value <= min(most, before + 2)


@given(st.integers(1, 64), st.lists(st.booleans(), max_size=300))
def test_it_stays_between_one_and_the_bound_and_moves_the_right_way(
    most: int, answers: list[bool]
) -> None:
    limit = AdaptiveLimit(most)
    for good in answers:
        before = limit.value
        if good:
            limit.succeeded()
            assert limit.value >= before
        else:
            limit.overloaded(limit.round)
            assert limit.value <= before
        assert 1 <= limit.value <= most


@given(st.integers(1, 64))
def test_it_comes_back_to_the_bound(most: int) -> None:
    limit = AdaptiveLimit(most)
    for _ in range(10):
        limit.overloaded(limit.round)
    assert limit.value == 1
    for _ in range(most * most):
        limit.succeeded()
    assert limit.value == most


def test_a_limit_below_one_is_a_defect() -> None:
    with pytest.raises(ValueError, match="below 1"):
        AdaptiveLimit(0)
