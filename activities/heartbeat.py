"""Tells Temporal that an activity is alive, and so lets a cancellation reach it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from temporalio import activity

_SECONDS: Final = 2.0


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    """Beat from now until the block ends, well within the heartbeat timeout of 15 s."""
    beating = asyncio.create_task(_beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(_SECONDS)
