"""Never more at once or a second than allowed (failure F45)."""

import asyncio
import time

import pytest

from autos.source.courtesy.permits import Limiter, LocalPermits


async def test_at_most_so_many_at_once() -> None:
    limiter = Limiter(LocalPermits(3))
    inside = most = 0

    async def request() -> None:
        nonlocal inside, most
        async with limiter.slot("TRF3"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 3


async def test_slots_begin_apart_without_a_burst() -> None:
    """F45."""
    limiter = Limiter(LocalPermits(50), per_second=100)
    begun: list[float] = []

    async def request() -> None:
        async with limiter.slot("TRF3"):
            begun.append(time.perf_counter())

    await asyncio.gather(*(request() for _ in range(11)))
    # Waking up late may push two together, but never all of them.
    assert begun[-1] - begun[0] >= 0.099


async def test_a_cancelled_wait_gives_the_permit_back() -> None:
    limiter = Limiter(LocalPermits(1))
    async with limiter.slot("TRF3"):
        waiting = asyncio.create_task(limiter.slot("TRF3").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(30), limiter.slot("TRF3"):
        pass
