"""Politeness towards the source: so many requests at once, so many a second.

The bounds hold in this process. A bound over all processes is plugged in as `Permits`; the pace
stays one of each process.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

from autos.stall_watch import queued


class Permits(Protocol):
    """Gives out a bounded number of permits; entering waits until one is free."""

    def permit(self, key: str) -> AbstractAsyncContextManager[None]:
        """A permit for one request; `key` names the court it is about."""
        ...


class LocalPermits:
    """At most `at_once` permits in this process, whatever the key."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def permit(self, key: str) -> AsyncIterator[None]:  # noqa: ARG002 - one bound for all
        """Wait for a permit and hold it."""
        async with self._free:
            yield


class Limiter:
    """Hands out slots: `async with limiter.slot(key)` around exactly one request.

    Args:
        permits: bounds the requests at once.
        per_second: slots begin at least 1 / `per_second` seconds apart, so that there are never
            bursts, which the source punishes; 0 leaves the pace open.
    """

    def __init__(self, permits: Permits, per_second: float = 0) -> None:
        self._permits = permits
        self._interval = 1 / per_second if per_second > 0 else 0.0
        self._next_start = 0.0

    @asynccontextmanager
    async def slot(self, key: str) -> AsyncIterator[None]:
        """Wait for the right to make one request, and hold it while the request lasts."""
        async with AsyncExitStack() as held:
            with queued():
                await held.enter_async_context(self._permits.permit(key))
                if self._interval:
                    await self._pace()
            yield

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        # Taken before the wait, so that those who come meanwhile queue up behind.
        self._next_start = start + self._interval
        if start > now:
            await asyncio.sleep(start - now)
