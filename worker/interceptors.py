"""Wraps every activity: sends heartbeats while it makes progress, and translates its errors.

Heartbeats also deliver cancellations. An exception becomes an `ApplicationError` with a type from
`autos.contracts.temporal_names`; a Temporal failure that an activity raises is unchanged.
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
"""Far below the heartbeat timeout of 15 s."""


class Stalled(Exception):
    """An activity made no progress for longer than its slowest step may take."""


class ActivityInterceptor(Interceptor):
    """The interceptor of a worker process.

    Args:
        stall_seconds: seconds without progress after which an activity is cancelled.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the next interceptor."""
        return _HeartbeatInterceptor(next, self._stall_seconds)


class _HeartbeatInterceptor(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, stall_seconds: float) -> None:
        super().__init__(next)
        self._stall_seconds = stall_seconds

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            async with _heartbeating(self._stall_seconds):
                return await super().execute_activity(input)
        except FailureError:
            raise
        except Exception as error:  # noqa: BLE001 - every exception is translated here
            error_type = failures.report(error)
            raise ApplicationError(failures.MESSAGES[error_type], type=error_type) from None


@asynccontextmanager
async def _heartbeating(stall_seconds: float) -> AsyncIterator[None]:
    """Send heartbeats until the block ends, while it makes progress.

    Raises:
        Stalled, QueuedTooLong: the block made no progress for too long and was cancelled. If the
            block ignores the cancellation, the heartbeats stop and Temporal times the activity out.
    """
    limit = asyncio.timeout(None)
    with watched(stall_seconds) as watch:
        interval = min(_HEARTBEAT_SECONDS, stall_seconds)
        heartbeats = asyncio.create_task(_send_heartbeats(watch, limit, interval))
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise heartbeats.result() from None
        finally:
            heartbeats.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeats


async def _send_heartbeats(watch: StallWatch, limit: asyncio.Timeout, interval: float) -> Exception:
    """Send heartbeats while there is progress, then cancel the block and return the error."""
    # A local activity has no heartbeats.
    reports = not activity.info().is_local
    while not watch.stalled:
        if reports:
            activity.heartbeat()
        await asyncio.sleep(interval)
    limit.reschedule(asyncio.get_running_loop().time())
    return failures.QueuedTooLong() if watch.is_queued else Stalled()
