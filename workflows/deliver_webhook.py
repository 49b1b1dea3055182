"""Tells one subscriber how a job ended: tries for three days, until the receiver takes it.

One workflow per event, id `webhook/<event id>`. It holds the event's id, numbers and outcomes only;
what is sent, to whom, and what came back is the activity's and the records' business. A `redeliver`
signal makes the next attempt at once, and if that fails the whole schedule follows again; after the
end, the same workflow id is started anew, with the same event.

Not promised: exactly one request. An attempt whose worker died is made again, under the same id.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from autos.contracts.states import WaitReason
    from autos.contracts.webhooks import (
        JITTER,
        PATIENCE_SECONDS,
        AbandonDelivery,
        AttemptDelivery,
        AttemptedDelivery,
        DeliverWebhook,
        DeliveryOutcome,
        DeliveryResult,
        scheduled_delay,
    )
    from workflows import activity_calls as calls


@workflow.defn(name="DeliverWebhookWorkflow")
class DeliverWebhookWorkflow:
    """See the module. Signal: redeliver."""

    @workflow.init
    def __init__(self, request: DeliverWebhook) -> None:
        self._request = request
        self._event_id = request.event_id
        self._attempts = request.attempts
        self._step = request.step
        """The place in the schedule; unlike the attempts' number it starts anew with a replay."""
        self._began = request.began or workflow.now()
        self._asked_for = request.asked_for

    @workflow.signal(description="Make the next attempt now")
    def redeliver(self) -> None:
        """Shorten the wait; an attempt that is on its way and succeeds answers this too."""
        self._asked_for = True

    @workflow.run
    async def run(self, request: DeliverWebhook) -> DeliveryResult:
        """Try until the receiver takes it, wants no more, or three days have passed."""
        while True:
            if self._should_continue_as_new():
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

    def _should_continue_as_new(self) -> bool:
        """Whether somebody had it delivered again so often that its history is long."""
        info = workflow.info()
        if self._request.continue_as_new_after:
            return info.get_current_history_length() >= self._request.continue_as_new_after
        return info.is_continue_as_new_suggested()

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
        left = PATIENCE_SECONDS - (workflow.now() - self._began).total_seconds()
        request = AttemptDelivery(event_id=self._event_id, number=self._attempts)
        if left > 0:
            jitter = workflow.random().uniform(1 - JITTER, 1 + JITTER)
            request.delay_seconds = scheduled_delay(self._step) * jitter
            # However the delays fall, the last attempt is made when the patience ends.
            request.longest_delay_seconds = left
        try:
            return await calls.run(calls.attempt_delivery(request), self._outage)
        except calls.Defect:
            # If not even this can be written, the workflow fails, and a reconciliation finds it.
            abandon = AbandonDelivery(event_id=self._event_id, number=self._attempts)
            await calls.run(calls.abandon_delivery(abandon), self._outage)
            return AttemptedDelivery(outcome=DeliveryOutcome.FAILED)

    @contextlib.asynccontextmanager
    async def _outage(self, waiting_for: WaitReason, until: datetime) -> AsyncIterator[None]:
        latest = until.strftime("%Y-%m-%d %H:%M:%S UTC")
        self._show(f"attempt {self._attempts} waits for **{waiting_for}**, until {latest} at most")
        yield
        self._show(f"attempt {self._attempts}")

    async def _wait(self, delay: float) -> None:
        self._show(f"attempt {self._attempts} failed, the next in {_words(delay)}")
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._asked_for,
                timeout=timedelta(seconds=delay),
                timeout_summary=f"attempt {self._attempts + 1} in {_words(delay)}",
            )

    def _show(self, what: str) -> None:
        workflow.set_current_details(f"`{self._event_id}`: {what}.")


def _words(seconds: float) -> str:
    """A delay as an operator reads it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
