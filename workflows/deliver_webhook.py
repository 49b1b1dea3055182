"""Delivers one event to one subscriber, with retries for up to three days.

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
    from autos.contracts.deliveries import (
        AbandonDelivery,
        AttemptDelivery,
        AttemptedDelivery,
        DeliverWebhook,
        DeliveryOutcome,
        DeliveryResult,
    )
    from autos.contracts.reasons import WaitReason
    from autos.contracts.retries import WEBHOOK_DELAYS, WEBHOOK_JITTER, WEBHOOK_PATIENCE_SECONDS
    from autos.contracts.temporal_names import DELIVERY_WORKFLOW
    from workflows import activity_calls as calls
    from workflows.progress import utc


@workflow.defn(name=DELIVERY_WORKFLOW)
class DeliverWebhookWorkflow:
    """See the module. Signal: redeliver."""

    @workflow.init
    def __init__(self, request: DeliverWebhook) -> None:
        self._state = request
        """Changed in place, and passed to the next run when this one continues as new."""
        self._began = request.began or workflow.now()

    @workflow.signal(description="Make the next attempt now")
    def redeliver(self) -> None:
        """End the wait for the next attempt. A successful attempt in flight serves the request."""
        self._state.asked_for = True

    @workflow.run
    async def run(self, request: DeliverWebhook) -> DeliveryResult:  # noqa: ARG002 - it is the state
        """Try until the receiver accepts the event, answers 410, or three days have passed."""
        state = self._state
        while True:
            if calls.history_is_long(state.continue_as_new_after):
                state.began = self._began
                workflow.continue_as_new(state)
            if state.asked_for:
                state.step, self._began, state.asked_for = 0, workflow.now(), False
            attempted = await self._attempt()
            delay = attempted.retry_in_seconds
            if delay is not None:
                await self._wait(delay)
            elif not (state.asked_for and attempted.outcome is DeliveryOutcome.FAILED):
                break
        self._show(f"ended as {attempted.outcome}")
        return DeliveryResult(
            event_id=state.event_id, outcome=attempted.outcome, attempts=state.attempts
        )

    async def _attempt(self) -> AttemptedDelivery:
        self._state.attempts += 1
        self._state.step += 1
        left = WEBHOOK_PATIENCE_SECONDS - (workflow.now() - self._began).total_seconds()
        request = AttemptDelivery(event_id=self._state.event_id, number=self._state.attempts)
        if left > 0:
            jitter = workflow.random().uniform(1 - WEBHOOK_JITTER, 1 + WEBHOOK_JITTER)
            request.delay_seconds = WEBHOOK_DELAYS.delay_after(self._state.step) * jitter
            # The last attempt is made when the patience ends, regardless of the delays.
            request.longest_delay_seconds = left
        try:
            attempt = calls.FIRST_ATTEMPT if request.number == 1 else calls.ATTEMPT_DELIVERY
            return await calls.call(attempt, request, f"attempt {request.number}", self._outage)
        except calls.ActivityDefect:
            # If this fails as well, the workflow fails and reconciliation finds the delivery.
            abandon = AbandonDelivery(event_id=self._state.event_id, number=self._state.attempts)
            await calls.call(
                calls.ABANDON_DELIVERY, abandon, "give up: internal error", self._outage
            )
            return AttemptedDelivery(outcome=DeliveryOutcome.FAILED)

    @contextlib.asynccontextmanager
    async def _outage(self, waiting_for: WaitReason, until: datetime) -> AsyncIterator[None]:
        self._show(f"waits for **{waiting_for}** until {utc(until)} at the latest")
        yield
        self._show("is under way")

    async def _wait(self, delay: float) -> None:
        self._show(f"failed, the next in {_duration(delay)}")
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._state.asked_for,
                timeout=timedelta(seconds=delay),
                timeout_summary=f"attempt {self._state.attempts + 1} in {_duration(delay)}",
            )

    def _show(self, text: str) -> None:
        state = self._state
        workflow.set_current_details(f"`{state.event_id}`: attempt {state.attempts} {text}.")


def _duration(seconds: float) -> str:
    """A delay as text for an operator."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
