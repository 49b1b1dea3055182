"""Delivers one event to one subscriber: retries for three days, until the receiver accepts it.

One workflow per event, id `webhook/<event id>`. Its history holds the event's id, numbers and
outcomes only; URL, body and responses are handled by the activity and kept in the records. The
`redeliver` signal makes the next attempt at once and restarts the schedule if that fails. After
the end, a redelivery starts the same workflow id again for the same event.

Does not promise exactly one request: an attempt whose worker died is repeated under the same id.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from autos.contracts.names import DELIVERY_WORKFLOW
    from autos.contracts.retries import WEBHOOK_DELAYS, WEBHOOK_JITTER, WEBHOOK_PATIENCE_SECONDS
    from autos.contracts.states import WaitReason
    from autos.contracts.webhooks import (
        AbandonDelivery,
        AttemptDelivery,
        AttemptedDelivery,
        DeliverWebhook,
        DeliveryOutcome,
        DeliveryResult,
    )
    from workflows import activity_calls as calls
    from workflows.progress import utc


@workflow.defn(name=DELIVERY_WORKFLOW)
class DeliverWebhookWorkflow:
    """See the module. Signal: redeliver."""

    @workflow.init
    def __init__(self, request: DeliverWebhook) -> None:
        self._request = request
        self._event_id = request.event_id
        self._attempts = request.attempts
        self._step = request.step
        """The place in the schedule; a redelivery resets it, but not the number of attempts."""
        self._began = request.began or workflow.now()
        self._asked_for = request.asked_for

    @workflow.signal(description="Make the next attempt now")
    def redeliver(self) -> None:
        """End the wait for the next attempt; an attempt in flight that succeeds counts as it."""
        self._asked_for = True

    @workflow.run
    async def run(self, request: DeliverWebhook) -> DeliveryResult:
        """Try until the receiver accepts the event, answers 410, or three days have passed."""
        while True:
            if calls.history_is_long(self._request.continue_as_new_after):
                workflow.continue_as_new(self._rest())
            if self._asked_for:
                self._step, self._began, self._asked_for = 0, workflow.now(), False
            attempted = await self._attempt()
            delay = attempted.retry_in_seconds
            if delay is not None:
                await self._wait(delay)
            elif not (self._asked_for and attempted.outcome is DeliveryOutcome.FAILED):
                break
        self._show(f"{attempted.outcome} at attempt {self._attempts}")
        return DeliveryResult(
            event_id=request.event_id, outcome=attempted.outcome, attempts=self._attempts
        )

    def _rest(self) -> DeliverWebhook:
        return self._request.model_copy(
            update={
                "attempts": self._attempts,
                "step": self._step,
                "began": self._began,
                "asked_for": self._asked_for,
            }
        )

    async def _attempt(self) -> AttemptedDelivery:
        self._attempts += 1
        self._step += 1
        left = WEBHOOK_PATIENCE_SECONDS - (workflow.now() - self._began).total_seconds()
        request = AttemptDelivery(event_id=self._event_id, number=self._attempts)
        if left > 0:
            jitter = workflow.random().uniform(1 - WEBHOOK_JITTER, 1 + WEBHOOK_JITTER)
            request.delay_seconds = WEBHOOK_DELAYS.delay_after(self._step) * jitter
            # The last attempt is made when the patience ends, whatever the delays were.
            request.longest_delay_seconds = left
        try:
            return await calls.call(
                calls.ATTEMPT_DELIVERY, request, f"attempt {request.number}", self._outage
            )
        except calls.ActivityDefect:
            # If this cannot be written either, the workflow fails and a reconciliation finds it.
            abandon = AbandonDelivery(event_id=self._event_id, number=self._attempts)
            await calls.call(
                calls.ABANDON_DELIVERY, abandon, "give up: internal error", self._outage
            )
            return AttemptedDelivery(outcome=DeliveryOutcome.FAILED)

    @contextlib.asynccontextmanager
    async def _outage(self, waiting_for: WaitReason, until: datetime) -> AsyncIterator[None]:
        self._show(
            f"attempt {self._attempts} waits for **{waiting_for}** until {utc(until)} at the latest"
        )
        yield
        self._show(f"attempt {self._attempts}")

    async def _wait(self, delay: float) -> None:
        self._show(f"attempt {self._attempts} failed, the next in {_duration(delay)}")
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._asked_for,
                timeout=timedelta(seconds=delay),
                timeout_summary=f"attempt {self._attempts + 1} in {_duration(delay)}",
            )

    def _show(self, text: str) -> None:
        workflow.set_current_details(f"`{self._event_id}`: {text}.")


def _duration(seconds: float) -> str:
    """A delay as text for an operator."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
