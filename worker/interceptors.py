"""What happens around every activity: heartbeats while it makes progress, one type per failure.

An exception becomes an `ApplicationError` with a type of `autos.contracts.errors`; what an activity
raises as a Temporal failure by itself passes as it is.
"""

from typing import Any

from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities import failures
from activities.heartbeat import heartbeating
from autos.settings import Settings

_STORE_TRIES_SECONDS = 210.0
"""Three tries of a small object: 10 s to connect and 60 s to answer, each."""


def silence_seconds(settings: Settings) -> float:
    """Longer than any step of an activity may be silent by its own timeout."""
    source = max(settings.source_metadata_timeout, settings.source_idle_timeout)
    return source + _STORE_TRIES_SECONDS


class ActivityInterceptor(Interceptor):
    """One per worker process.

    Args:
        silence: seconds without progress after which an activity is given up.
    """

    def __init__(self, silence: float) -> None:
        self._silence = silence

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Put ours around the rest."""
        return _Around(next, self._silence)


class _Around(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, silence: float) -> None:
        super().__init__(next)
        self._silence = silence

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            async with heartbeating(self._silence):
                return await super().execute_activity(input)
        except FailureError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the place that translates them all
            kind = failures.report(error)
            raise ApplicationError(failures.SENTENCES[kind], type=kind) from None
