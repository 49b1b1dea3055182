"""The scripted delivery activity under its real name, and a worker for it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from autos.contracts.deliveries import (
    AbandonDelivery,
    AttemptDelivery,
    AttemptedDelivery,
    DeliverWebhook,
    DeliveryOutcome,
    DeliveryResult,
)
from autos.contracts.retries import webhook_delay
from autos.contracts.temporal_names import INTERNAL_ERROR, WEBHOOKS_QUEUE, delivery_workflow_id
from workflows.deliver_webhook import DeliverWebhookWorkflow

Delivery = WorkflowHandle[DeliverWebhookWorkflow, DeliveryResult]
Answer = Callable[[AttemptDelivery, datetime], tuple[int, float | None]]
"""Returns status and `Retry-After` of an attempt made at this time of the server's clock."""

Clock = Callable[[], Awaitable[datetime]]


async def wall_clock() -> datetime:
    """The time of a server that does not skip."""
    return datetime.now(UTC)


def accepts(request: AttemptDelivery, at: datetime) -> tuple[int, float | None]:
    """Accept every attempt."""
    return 204, None


def refuses(request: AttemptDelivery, at: datetime) -> tuple[int, float | None]:
    """Return 503 for every attempt."""
    return 503, None


@dataclass
class FakeReceiver:
    """A scripted receiver; `seen` has the attempts and their times."""

    answer: Answer = accepts
    meanwhile: Callable[[AttemptDelivery], Awaitable[object]] | None = None
    """Awaited between the arrival of an attempt and the response."""
    failures: list[str] = field(default_factory=list)
    """Error types of the next runs of the activity."""
    writes: bool = True
    """False if the end cannot be recorded."""
    abandoned: list[AbandonDelivery] = field(default_factory=list)
    clock: Clock = wall_clock
    """The time of the server, which may skip."""
    seen: list[tuple[AttemptDelivery, datetime]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def times(self) -> list[float]:
        """Seconds from the first attempt to each attempt."""
        return [(at - self.seen[0][1]).total_seconds() for _, at in self.seen]

    @activity.defn
    async def attempt_delivery(self, request: AttemptDelivery) -> AttemptedDelivery:
        if self.failures:
            raise ApplicationError("As scripted.", type=self.failures.pop(0))
        at = await self.clock()
        self.seen.append((request, at))
        self.arrived.set()
        status, retry_after = self.answer(request, at)
        if self.meanwhile is not None:
            await self.meanwhile(request)
        outcomes = {204: DeliveryOutcome.DELIVERED, 410: DeliveryOutcome.GONE}
        outcome = outcomes.get(status, DeliveryOutcome.FAILED)
        retry_in = None
        if outcome is DeliveryOutcome.FAILED and request.delay_seconds is not None:
            assert request.longest_delay_seconds is not None
            retry_in = webhook_delay(
                request.delay_seconds, request.longest_delay_seconds, retry_after
            )
        return AttemptedDelivery(outcome=outcome, status_code=status, retry_in_seconds=retry_in)

    @activity.defn
    async def abandon_delivery(self, request: AbandonDelivery) -> None:
        if not self.writes:
            raise ApplicationError("As scripted.", type=INTERNAL_ERROR)
        self.abandoned.append(request)


@asynccontextmanager
async def webhook_worker(
    client: Client, fake: FakeReceiver, clock: Clock = wall_clock, places: int | None = None
) -> AsyncIterator[None]:
    """A worker that runs the real workflow on the fake receiver, `places` at the same time."""
    fake.clock = clock
    async with Worker(
        client,
        task_queue=WEBHOOKS_QUEUE,
        workflows=[DeliverWebhookWorkflow],
        activities=[fake.attempt_delivery, fake.abandon_delivery],
        max_concurrent_workflow_tasks=places,
    ):
        yield


async def deliver(
    client: Client,
    event_id: str | None = None,
    *,
    again: bool = False,
    continue_as_new_after: int = 0,
) -> Delivery:
    """Start a delivery as a job does; with `again`, as the API does for a redelivery."""
    event_id = event_id or f"evt_{uuid.uuid4().hex}"
    return await client.start_workflow(
        DeliverWebhookWorkflow.run,
        DeliverWebhook(event_id=event_id, continue_as_new_after=continue_as_new_after),
        id=delivery_workflow_id(event_id),
        task_queue=WEBHOOKS_QUEUE,
        start_signal="redeliver" if again else None,
    )


async def delivered_late(client: Client) -> Delivery:
    """A kept history: two failures, a requested redelivery after each, then delivered."""
    fake = FakeReceiver(lambda request, _: (204 if request.number == 3 else 500, None))
    async with webhook_worker(client, fake):
        delivery = await deliver(client)
        for number in (1, 2):
            while len(fake.seen) < number:
                await asyncio.sleep(0)
            await delivery.signal(DeliverWebhookWorkflow.redeliver)
        await delivery.result()
    return delivery


async def refused_for_good(client: Client) -> Delivery:
    """A kept history: the receiver returns 410."""
    async with webhook_worker(client, FakeReceiver(lambda *_: (410, None))):
        delivery = await deliver(client)
        await delivery.result()
    return delivery
