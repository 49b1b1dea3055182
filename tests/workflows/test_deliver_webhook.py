"""The delivery's schedule, its ends, its replays; three days pass in a moment."""

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from autos.contracts.retries import (
    WEBHOOK_DELAYS,
    WEBHOOK_JITTER,
    WEBHOOK_MAX_RETRY_AFTER,
    WEBHOOK_PATIENCE_SECONDS,
    webhook_delay,
)
from autos.contracts.webhooks import AttemptDelivery, DeliveryOutcome
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
"""Seconds that a timer and an activity may take on the test server."""


async def ended(delivery: Delivery) -> DeliveryOutcome:
    async with asyncio.timeout(120):
        return (await delivery.result()).outcome


async def test_it_is_delivered_at_once(skipping_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver()
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        assert await ended(await deliver(skipping_server.client)) is DeliveryOutcome.DELIVERED
    assert len(fake.seen) == 1


async def test_the_schedule_of_three_days(skipping_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver(refuses)
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        assert await ended(await deliver(skipping_server.client)) is DeliveryOutcome.FAILED
    gaps = [later - earlier for earlier, later in pairwise(fake.times)]
    for number, gap in enumerate(gaps[:-1], start=1):
        delay = WEBHOOK_DELAYS.delay_after(number)
        assert delay * (1 - WEBHOOK_JITTER) <= gap <= delay * (1 + WEBHOOK_JITTER) + LATENESS
    # The last one is cut so that three days are kept, whatever the jitter made of the others.
    assert fake.times[-1] == pytest.approx(WEBHOOK_PATIENCE_SECONDS, abs=len(gaps) * LATENESS)
    assert 16 <= len(fake.seen) <= 19
    assert len({round(gap / WEBHOOK_DELAYS.delay_after(n), 3) for n, gap in enumerate(gaps, 1)}) > 5
    assert [request.number for request, _ in fake.seen] == list(range(1, len(fake.seen) + 1))
    assert fake.seen[-1][0].delay_seconds is None


async def test_a_receiver_that_is_down_for_sixty_hours(
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


async def test_gone_ends_it(skipping_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver(lambda *_: (410, None))
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        assert await ended(await deliver(skipping_server.client)) is DeliveryOutcome.GONE
    assert len(fake.seen) == 1


@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [(1, 5), (100, 100), (3_600, 3_600), (10 * WEBHOOK_MAX_RETRY_AFTER, WEBHOOK_MAX_RETRY_AFTER)],
)
async def test_retry_after_is_obeyed_within_bounds(
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
def test_the_bounds(
    delay: float, longest: float, retry_after: float | None, bounded: float
) -> None:
    assert webhook_delay(delay, longest, retry_after) == bounded


def test_the_delays_are_those_of_the_contract() -> None:
    minute, hour = 60, 3600
    first = (5, 30, 2 * minute, 10 * minute, 30 * minute, hour, 2 * hour, 4 * hour, 8 * hour)
    assert first == WEBHOOK_DELAYS.delays
    assert WEBHOOK_DELAYS.delay_after(40) == 8 * hour


async def test_a_replay_by_hand_does_not_wait(dev_server: WorkflowEnvironment) -> None:
    fake = FakeReceiver(lambda request, _: (500 if request.number < 9 else 204, None))
    async with webhook_worker(dev_server.client, fake):
        delivery = await deliver(dev_server.client)
        async with asyncio.timeout(20):
            while len(fake.seen) < 9:
                fake.arrived.clear()
                await delivery.signal(DeliverWebhookWorkflow.redeliver)
                await fake.arrived.wait()
        assert await ended(delivery) is DeliveryOutcome.DELIVERED


async def test_a_replay_during_a_failing_attempt_is_not_lost(
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
async def test_a_replay_goes_through_the_whole_schedule_again(
    skipping_server: WorkflowEnvironment, last: bool
) -> None:
    """In the middle of it, and during the very last attempt."""

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


async def test_the_signal_that_comes_with_the_start_is_the_start_itself(
    skipping_server: WorkflowEnvironment,
) -> None:
    fake = FakeReceiver(lambda request, _: (500 if request.number == 1 else 204, None))
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        delivery = await deliver(skipping_server.client, again=True)
        assert await ended(delivery) is DeliveryOutcome.DELIVERED
    assert fake.times[1] >= WEBHOOK_DELAYS.delay_after(1) * (1 - WEBHOOK_JITTER)


async def test_a_replay_after_the_end_keeps_the_id(dev_server: WorkflowEnvironment) -> None:
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


async def test_a_delivery_that_is_asked_for_again_and_again_keeps_a_short_history(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S37) It continues as new, and neither a request, a number nor the schedule is lost."""
    fake = FakeReceiver(lambda request, _: (500 if request.number < 30 else 204, None))
    async with webhook_worker(dev_server.client, fake):
        delivery = await deliver(dev_server.client, continue_as_new_after=30)
        async with asyncio.timeout(120):
            while len(fake.seen) < 30:
                fake.arrived.clear()
                # Not to one run, but to whichever is the newest.
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


async def test_three_days_are_three_days_over_several_runs(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S37) The patience is counted from the first attempt, whichever run made it."""
    fake = FakeReceiver(refuses)
    async with webhook_worker(skipping_server.client, fake, skipping_server.get_current_time):
        delivery = await deliver(skipping_server.client, continue_as_new_after=20)
        assert await ended(delivery) is DeliveryOutcome.FAILED
    assert fake.times[-1] == pytest.approx(WEBHOOK_PATIENCE_SECONDS, abs=len(fake.seen) * LATENESS)
    assert [request.number for request, _ in fake.seen] == list(range(1, len(fake.seen) + 1))


async def test_a_broken_attempt_is_made_again_under_the_same_number(
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
async def test_its_history_is_small_reads_well_and_replays(
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
