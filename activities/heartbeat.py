"""Tells Temporal that an activity makes progress, and so lets a cancellation reach it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from temporalio import activity

from autos.stall_watch import StallWatch, watched

SILENCE_SECONDS: Final = 300.0
_SECONDS: Final = 2.0


class Stalled(Exception):
    """An activity made no progress for longer than any of its steps may take."""


class LineTooLong(Exception):
    """An activity waited for its turn for longer than any line should last."""


@asynccontextmanager
async def heartbeating(silence_seconds: float = SILENCE_SECONDS) -> AsyncIterator[None]:
    """Beat until the block ends, well within the heartbeat timeout of 15 s, while it gets on.

    Args:
        silence_seconds: the longest time without progress (autos/stall_watch.py).

    Raises:
        Stalled, LineTooLong: there was no progress for longer; the block is cancelled. Should it
            not end, then Temporal gives the activity up for want of heartbeats.
    """
    limit = asyncio.timeout(None)
    with watched(silence_seconds) as watch:
        beating = asyncio.create_task(_beat(watch, limit, min(_SECONDS, silence_seconds)))
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise beating.result() from None
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


async def _beat(watch: StallWatch, limit: asyncio.Timeout, every: float) -> Exception:
    """Beat as long as there is progress; then end the block, and say what it was about."""
    while not watch.stalled:
        activity.heartbeat()
        await asyncio.sleep(every)
    limit.reschedule(asyncio.get_running_loop().time())
    return LineTooLong() if watch.is_queued else Stalled()
