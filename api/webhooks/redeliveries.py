"""How often one event may be delivered again by request.

Each request is an entry in the delivery's history and leads to an attempt, which is a row; a client
that asks in a loop must not make them grow without end. Counted by each API process for itself.
"""

import time
from typing import Final

from limits import RateLimitItemPerHour
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

MOST_PER_HOUR: Final = 10


class Redeliveries:
    """The requests of the last hour."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerHour(MOST_PER_HOUR)

    async def seconds_to_wait(self, event_id: str) -> int:
        """Count a request to deliver this event: 0 if it may be, else when to ask again."""
        if await self._limiter.hit(self._limit, event_id):
            return 0
        reset_at, _ = await self._limiter.get_window_stats(self._limit, event_id)
        return max(1, round(reset_at - time.time()))
