"""Limits of concurrent requests per court and in total, and of requests per second (F45)."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.source.limits.limiter import AdaptiveLimit, Limiter
from tests.unit.source.clients import LocalPermits


async def test_concurrent_requests_are_limited() -> None:
    limiter = Limiter(LocalPermits(3))
    inside = most = 0

    async def request() -> None:
        nonlocal inside, most
        async with limiter.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 3


async def test_requests_are_spaced_without_a_burst() -> None:
    """F45."""
    limiter = Limiter(LocalPermits(50), per_second=100)
    begun: list[float] = []

    async def request() -> None:
        async with limiter.slot():
            begun.append(time.perf_counter())

    await asyncio.gather(*(request() for _ in range(11)))
    # A late wake-up may move two requests together, but never all.
    assert begun[-1] - begun[0] >= 0.099


async def test_cancelled_wait_releases_the_permit() -> None:
    limiter = Limiter(LocalPermits(1))
    async with limiter.slot():
        waiting = asyncio.create_task(limiter.slot().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(30), limiter.slot():
        pass


def test_failures_of_one_round_halve_the_limit_once() -> None:
    limit = AdaptiveLimit(16)
    begun = limit.round
    for _ in range(5):
        limit.overloaded(begun)
    assert limit.value == 8
    limit.overloaded(limit.round)
    assert limit.value == 4


@given(st.integers(1, 64))
def test_round_of_successes_adds_about_one(most: int) -> None:
    limit = AdaptiveLimit(most)
    limit.overloaded(limit.round)
    before = limit.value
    for _ in range(before + 1):
        limit.succeeded()
    assert min(most, before + 1) <= limit.value <= min(most, before + 2)


@given(st.integers(1, 64), st.lists(st.booleans(), max_size=300))
def test_limit_stays_within_bounds_and_moves_in_the_right_direction(
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
def test_limit_returns_to_the_maximum(most: int) -> None:
    limit = AdaptiveLimit(most)
    for _ in range(10):
        limit.overloaded(limit.round)
    assert limit.value == 1
    for _ in range(most * most):
        limit.succeeded()
    assert limit.value == most


def test_limit_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="below 1"):
        AdaptiveLimit(0)
