"""Limits of requests: concurrency for one court, concurrency for all courts, and rate.

They apply within one OS process. `Permits` (`autos.records.permits`) add a bound over all workers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

from autos.stall_watch import queued


class AdaptiveLimit:
    """Concurrency limit of one court: between 1 and `most`, starting at `most`.

    Additive increase, multiplicative decrease (RFC 5681 §3.1): a full round of answers adds one, a
    sign of overload halves it. Requests that were sent before the limit was halved report the same
    congestion, so they do not halve it again.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("a limit below 1 would stop everything")
        self._most = most
        self._exact = float(most)
        self._cuts = 0

    @property
    def value(self) -> int:
        """Maximum number of concurrent requests."""
        return int(self._exact)

    @property
    def round(self) -> int:
        """The number of cuts so far; each request keeps the value of the moment it was sent."""
        return self._cuts

    def succeeded(self) -> None:
        """Raise the limit a little: a request was answered."""
        self._exact = min(float(self._most), self._exact + 1 / self._exact)

    def overloaded(self, sent_in: int) -> None:
        """Halve the limit: a request that was sent in the given round met an overload."""
        if sent_in == self._cuts:
            self._cuts += 1
            self._exact = max(1.0, self._exact / 2)


class Permits(Protocol):
    """Gives out a bounded number of permits; entering waits until one is free."""

    def permit(self) -> AbstractAsyncContextManager[None]:
        """A permit for one request."""
        ...


class Limiter:
    """Hands out slots: `async with limiter.slot()` around exactly one request.

    Args:
        permits: bounds the concurrent requests.
        per_second: slots begin at least 1 / `per_second` seconds apart, without bursts, which the
            source punishes (docs/source.md#rate); 0 for no rate limit.
    """

    def __init__(self, permits: Permits, per_second: float = 0) -> None:
        self._permits = permits
        self._interval = 1 / per_second if per_second > 0 else 0.0
        self._next_start = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a permit, then for the rate limit; hold the permit while the request lasts."""
        async with AsyncExitStack() as held:
            with queued():
                await held.enter_async_context(self._permits.permit())
                if self._interval:
                    await self._pace()
            yield

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        # Reserved before the wait: concurrent requests get later starts.
        self._next_start = start + self._interval
        if start > now:
            await asyncio.sleep(start - now)
