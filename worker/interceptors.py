"""Wraps every activity: heartbeats while it makes progress, and one error type per failure.

Heartbeats also deliver cancellations. An exception becomes an `ApplicationError` with a type of
`autos.contracts.temporal_names`; a Temporal failure that an activity raises passes unchanged.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities import failures
from autos.stall_watch import StallWatch, watched

_HEARTBEAT_SECONDS: Final = 2.0
"""Well within the heartbeat timeout of 15 s."""


class Stalled(Exception):
    """An activity made no progress for longer than any of its steps may take."""


class ActivityInterceptor(Interceptor):
    """One per worker process.

    Args:
        stall_seconds: seconds without progress after which an activity is given up.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._silence = stall_seconds

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the rest of the chain."""
        return _HeartbeatInterceptor(next, self._silence)


class _HeartbeatInterceptor(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, stall_seconds: float) -> None:
        super().__init__(next)
        self._silence = stall_seconds

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            async with _heartbeating(self._silence):
                return await super().execute_activity(input)
        except FailureError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the place that translates them all
            kind = failures.report(error)
            raise ApplicationError(failures.MESSAGES[kind], type=kind) from None


@asynccontextmanager
async def _heartbeating(stall_seconds: float) -> AsyncIterator[None]:
    """Send heartbeats until the block ends, as long as it makes progress.

    Raises:
        Stalled, QueuedTooLong: there was no progress for too long; the block is cancelled. If it
            does not end, Temporal gives the activity up for want of heartbeats.
    """
    limit = asyncio.timeout(None)
    with watched(stall_seconds) as watch:
        beating = asyncio.create_task(_beat(watch, limit, min(_HEARTBEAT_SECONDS, stall_seconds)))
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
    """Send heartbeats while there is progress; then end the block and return the error."""
    reports = not activity.info().is_local
    while not watch.stalled:
        if reports:
            activity.heartbeat()
        await asyncio.sleep(every)
    limit.reschedule(asyncio.get_running_loop().time())
    return failures.QueuedTooLong() if watch.is_queued else Stalled()
