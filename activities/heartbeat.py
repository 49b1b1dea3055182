"""Tells Temporal that an activity makes progress, and so lets a cancellation reach it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from temporalio import activity

from autos.progress import Progress, watched

SILENCE_SECONDS: Final = 300.0
_SECONDS: Final = 2.0


class Stalled(Exception):
    """An activity made no progress for longer than any of its steps may take."""


@asynccontextmanager
async def heartbeating(silence_seconds: float = SILENCE_SECONDS) -> AsyncIterator[None]:
    """Beat until the block ends, well within the heartbeat timeout of 15 s, while it gets on.

    Args:
        silence_seconds: the longest time without progress (autos/progress.py).

    Raises:
        Stalled: there was no progress for longer; the block is cancelled. Should it not end, then
            Temporal gives the activity up for want of heartbeats.
    """
    limit = asyncio.timeout(None)
    with watched(silence_seconds) as progress:
        beating = asyncio.create_task(_beat(progress, limit, min(_SECONDS, silence_seconds)))
        try:
            async with limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise Stalled(f"No progress for {silence_seconds:.0f} s.") from None
            raise
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


async def _beat(progress: Progress, limit: asyncio.Timeout, every: float) -> None:
    while not progress.stalled:
        activity.heartbeat()
        await asyncio.sleep(every)
    limit.reschedule(asyncio.get_running_loop().time())
