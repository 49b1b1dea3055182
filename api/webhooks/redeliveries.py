"""Limits how often one event may be redelivered by request.

Each request adds an entry to the history of the delivery's workflow and a row for its attempt, so a
client that repeats it in a loop is limited. Every API process counts by itself.
"""

import time
from typing import Final

from limits import RateLimitItemPerHour
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

MOST_PER_HOUR: Final = 10


class Redeliveries:
    """The redeliveries requested within the last hour."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerHour(MOST_PER_HOUR)

    async def seconds_to_wait(self, event_id: str) -> int:
        """Count a redelivery of this event: 0 if it is allowed, else the seconds until it is."""
        if await self._limiter.hit(self._limit, event_id):
            return 0
        reset_at, _ = await self._limiter.get_window_stats(self._limit, event_id)
        return max(1, round(reset_at - time.time()))
