"""The delivery workflow: schedule, outcomes and redeliveries, on a time-skipping server."""

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from autos.contracts.deliveries import AttemptDelivery, DeliveryOutcome
from autos.contracts.retries import (
    WEBHOOK_DELAYS,
    WEBHOOK_JITTER,
    WEBHOOK_MAX_RETRY_AFTER,
    WEBHOOK_PATIENCE_SECONDS,
    webhook_delay,
)
from tests.workflows.webhook_fakes import (
    Delivery,
    FakeReceiver,
    accepts,
    deliver,
    delivered_late,
    refused_for_good,
    refuses,
    webhook_worker,
)
from workflows.deliver_webhook import DeliverWebhookWorkflow

LATENESS = 5.0
"""Seconds by which a timer and an activity may be late on the test server."""


async def ended(delivery: Delivery) -> DeliveryOutcome:
    async with asyncio.timeout(120):
        return (await delivery.result()).outcome


async def test_event_is_delivered_at_once(skipping_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver()
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        assert await ended(await deliver(skipping_server.client)) is DeliveryOutcome.DELIVERED
    assert len(fake.seen) == 1


async def test_failing_receiver_gets_attempts_for_three_days(
    skipping_server: WorkflowEnvironment,
) -> None:
    fake = FakeReceiver(refuses)
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        assert await ended(await deliver(skipping_server.client)) is DeliveryOutcome.FAILED
    gaps = [later - earlier for earlier, later in pairwise(fake.times)]
    for number, gap in enumerate(gaps[:-1], start=1):
        delay = WEBHOOK_DELAYS.delay_after(number)
        assert delay * (1 - WEBHOOK_JITTER) <= gap <= delay * (1 + WEBHOOK_JITTER) + LATENESS
    # The last delay is shortened to end after exactly three days, regardless of the jitter.
    assert fake.times[-1] == pytest.approx(WEBHOOK_PATIENCE_SECONDS, abs=len(gaps) * LATENESS)
    assert 16 <= len(fake.seen) <= 19
    assert len({round(gap / WEBHOOK_DELAYS.delay_after(n), 3) for n, gap in enumerate(gaps, 1)}) > 5
    assert [request.number for request, _ in fake.seen] == list(range(1, len(fake.seen) + 1))
    assert fake.seen[-1][0].delay_seconds is None


async def test_event_is_delivered_after_sixty_hours_of_downtime(
    skipping_server: WorkflowEnvironment,
) -> None:
    accepted: list[str] = []
    down_until: list[datetime] = []

    def answer(request: AttemptDelivery, at: datetime) -> tuple[int, float | None]:
        if not down_until:
            down_until.append(at + timedelta(hours=60))
        if at < down_until[0]:
            return 503, None
        accepted.append(request.event_id)
        return 204, None

    fake = FakeReceiver(answer)
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        delivery = await deliver(skipping_server.client)
        assert await ended(delivery) is DeliveryOutcome.DELIVERED
    assert len(accepted) == 1
    assert {request.event_id for request, _ in fake.seen} == set(accepted)
    assert fake.times[-1] > timedelta(hours=60).total_seconds()


async def test_status_410_ends_the_delivery(skipping_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver(lambda *_: (410, None))
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        assert await ended(await deliver(skipping_server.client)) is DeliveryOutcome.GONE
    assert len(fake.seen) == 1


@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [(1, 5), (100, 100), (3_600, 3_600), (10 * WEBHOOK_MAX_RETRY_AFTER, WEBHOOK_MAX_RETRY_AFTER)],
)
async def test_retry_after_is_honoured_within_limits(
    skipping_server: WorkflowEnvironment, retry_after: float, waited: float
) -> None:
    fake = FakeReceiver(
        lambda request, _: (429, retry_after) if request.number == 1 else (204, None)
    )
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        assert await ended(await deliver(skipping_server.client)) is DeliveryOutcome.DELIVERED
    assert fake.times[1] == pytest.approx(waited, rel=WEBHOOK_JITTER, abs=LATENESS)


@pytest.mark.parametrize(
    ("delay", "longest", "retry_after", "bounded"),
    [
        (5, 1000, None, 5),
        (5, 1000, 0, 5),
        (5, 1000, 60, 60),
        (60, 1000, 5, 60),
        (5, 100, 900, 100),
        (500, 100, None, 100),
        (5, WEBHOOK_PATIENCE_SECONDS, 10**9, WEBHOOK_MAX_RETRY_AFTER),
    ],
)
def test_delay_is_bounded(
    delay: float, longest: float, retry_after: float | None, bounded: float
) -> None:
    assert webhook_delay(delay, longest, retry_after) == bounded


def test_delays_match_the_documented_schedule() -> None:
    minute, hour = 60, 3600
    first = (5, 30, 2 * minute, 10 * minute, 30 * minute, hour, 2 * hour, 4 * hour, 8 * hour)
    assert first == WEBHOOK_DELAYS.delays
    assert WEBHOOK_DELAYS.delay_after(40) == 8 * hour


async def test_redelivery_is_attempted_at_once(dev_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver(lambda request, _: (500 if request.number < 9 else 204, None))
    async with webhook_worker(dev_server.client, fake):
        delivery = await deliver(dev_server.client)
        async with asyncio.timeout(20):
            while len(fake.seen) < 9:
                fake.arrived.clear()
                await delivery.signal(DeliverWebhookWorkflow.redeliver)
                await fake.arrived.wait()
        assert await ended(delivery) is DeliveryOutcome.DELIVERED


async def test_redelivery_requested_during_a_failing_attempt_is_made(
    dev_server: WorkflowEnvironment,
) -> None:
    async def replay(request: AttemptDelivery) -> None:
        if request.number == 1:
            await delivery.signal(DeliverWebhookWorkflow.redeliver)

    fake = FakeReceiver(
        lambda request, _: (500 if request.number == 1 else 204, None), meanwhile=replay
    )
    async with webhook_worker(dev_server.client, fake):
        delivery = await deliver(dev_server.client)
        assert await ended(delivery) is DeliveryOutcome.DELIVERED
    assert fake.times[1] < WEBHOOK_DELAYS.delay_after(1) * (1 - WEBHOOK_JITTER)


@pytest.mark.parametrize("last", [False, True])
async def test_redelivery_restarts_the_schedule(
    skipping_server: WorkflowEnvironment, last: bool
) -> None:
    """Requested in the middle of the schedule and during the last attempt."""

    async def replay(request: AttemptDelivery) -> None:
        chosen = request.delay_seconds is None if last else request.number == 12
        if chosen and not replayed:
            replayed.append(request.number)
            await delivery.signal(DeliverWebhookWorkflow.redeliver)

    replayed: list[int] = []
    fake = FakeReceiver(refuses, meanwhile=replay)
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        delivery = await deliver(skipping_server.client)
        assert await ended(delivery) is DeliveryOutcome.FAILED
    again = fake.times[replayed[0] :]
    assert again[0] - fake.times[replayed[0] - 1] <= LATENESS
    assert again[1] - again[0] <= WEBHOOK_DELAYS.delay_after(1) * (1 + WEBHOOK_JITTER) + LATENESS
    assert again[-1] - again[0] == pytest.approx(
        WEBHOOK_PATIENCE_SECONDS, abs=len(again) * LATENESS
    )
    assert [request.number for request, _ in fake.seen] == list(range(1, len(fake.seen) + 1))


async def test_signal_with_start_makes_only_one_attempt(
    skipping_server: WorkflowEnvironment,
) -> None:
    fake = FakeReceiver(lambda request, _: (500 if request.number == 1 else 204, None))
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        delivery = await deliver(skipping_server.client, again=True)
        assert await ended(delivery) is DeliveryOutcome.DELIVERED
    assert fake.times[1] >= WEBHOOK_DELAYS.delay_after(1) * (1 - WEBHOOK_JITTER)


async def test_redelivery_after_the_end_keeps_the_event_id(dev_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver(accepts)
    async with webhook_worker(dev_server.client, fake):
        first = await deliver(dev_server.client)
        await ended(first)
        event_id = first.id.removeprefix("webhook/")
        again = await deliver(dev_server.client, event_id, again=True)
        assert again.id == first.id
        assert again.first_execution_run_id != first.first_execution_run_id
        result = await again.result()
    assert result.attempts == 1
    assert [request.event_id for request, _ in fake.seen] == [event_id, event_id]


async def test_delivery_with_many_redeliveries_keeps_a_short_history(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S37) It continues as new; no request and no attempt number is lost."""
    fake = FakeReceiver(lambda request, _: (500 if request.number < 30 else 204, None))
    async with webhook_worker(dev_server.client, fake):
        delivery = await deliver(dev_server.client, continue_as_new_after=30)
        async with asyncio.timeout(120):
            while len(fake.seen) < 30:
                fake.arrived.clear()
                # Addresses the newest run.
                newest = dev_server.client.get_workflow_handle(delivery.id)
                await newest.signal("redeliver")
                await fake.arrived.wait()
        async with asyncio.timeout(120):
            result = await delivery.result()
    assert (result.outcome, result.attempts) == (DeliveryOutcome.DELIVERED, 30)
    assert [request.number for request, _ in fake.seen] == list(range(1, 31))
    newest = dev_server.client.get_workflow_handle(delivery.id)
    history = await newest.fetch_history()
    assert len(history.events) < 60
    assert (await newest.describe()).run_id != delivery.first_execution_run_id


async def test_patience_of_three_days_spans_several_runs(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S37) The patience starts with the first attempt, in whichever run."""
    fake = FakeReceiver(refuses)
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        delivery = await deliver(skipping_server.client, continue_as_new_after=20)
        assert await ended(delivery) is DeliveryOutcome.FAILED
    assert fake.times[-1] == pytest.approx(WEBHOOK_PATIENCE_SECONDS, abs=len(fake.seen) * LATENESS)
    assert [request.number for request, _ in fake.seen] == list(range(1, len(fake.seen) + 1))


async def test_attempt_with_an_internal_error_is_repeated_under_its_number(
    dev_server: WorkflowEnvironment,
) -> None:
    def answer(request: AttemptDelivery, at: datetime) -> tuple[int, float | None]:
        if len(fake.seen) == 1:
            raise ConnectionError
        return 204, None

    fake = FakeReceiver(answer)
    async with webhook_worker(dev_server.client, fake):
        assert await ended(await deliver(dev_server.client)) is DeliveryOutcome.DELIVERED
    assert [request.number for request, _ in fake.seen] == [1, 1]


@pytest.mark.parametrize("shape", [delivered_late, refused_for_good])
async def test_history_has_summaries_but_no_url_and_replays(
    dev_server: WorkflowEnvironment, shape: object
) -> None:
    assert callable(shape)
    async with asyncio.timeout(120):
        delivery = await shape(dev_server.client)
    history = await delivery.fetch_history()
    text = history.to_json()
    assert "http" not in text
    assert "attempt 1" in json.dumps(
        [event.user_metadata.summary.data.decode() for event in history.events]
    )
    replayer = Replayer(workflows=[DeliverWebhookWorkflow], data_converter=pydantic_data_converter)
    await replayer.replay_workflow(history)
