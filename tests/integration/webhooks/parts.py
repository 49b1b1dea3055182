"""Events with their rows, and the delivery activities on test servers."""

import uuid
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr
from sqlalchemy import select
from standardwebhooks import Webhook
from temporalio.client import Client
from temporalio.worker import Worker

from activities.webhooks import WebhookActivities
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import WEBHOOKS_QUEUE
from autos.records import api_keys, subscriptions
from autos.records.database import Database
from autos.records.models import ApiKey, Attempt, Delivery, Job, now
from autos.settings import Settings
from autos.vault import Vault
from autos.webhooks.address_guard import GuardedTransport
from autos.webhooks.secrets import Secrets
from autos.webhooks.sender import Sender
from tests.integration.api_parts import FakeStore, write_job, write_rows
from tests.unit.webhooks.receiver import Received
from workflows.deliver_webhook import DeliverWebhookWorkflow

SECRET_KEY = SecretStr("the tests' secret key, long enough for all")
VAULT = Vault(SECRET_KEY)
API_URL = "https://autos.example"


def settings(**more: object) -> Settings:
    """Settings that allow webhooks to loopback addresses."""
    return Settings.model_validate(
        {
            "secret_key": SECRET_KEY,
            "webhook_allow_private": True,
            "api_url": API_URL,
            **more,
        }
    )


@dataclass(frozen=True)
class Owner:
    """An API key and its id."""

    id: uuid.UUID
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


async def new_owner(database: Database, role: str = "client") -> Owner:
    """Create an API key."""
    from api.http import auth as keys

    key = keys.new_key()
    async with database.transaction() as session:
        row = await api_keys.add(
            session,
            name="webhooks",
            role=role,
            prefix=keys.prefix(key),
            sha256=keys.fingerprint(key),
        )
    return Owner(row.id, key)


async def new_event(
    database: Database,
    case: CaseNumber,
    owner: Owner,
    url: str,
    *,
    payload: str = "full",
    states: str = "aaf",
    status: JobStatus = JobStatus.COMPLETED_WITH_FAILURES,
) -> str:
    """Create an ended job with a subscription, as `close_job` does; returns the event's id."""
    job_id = await write_job(database, case, status)
    await write_rows(database, case, states, job_id)
    async with database.transaction() as session:
        subscription = await subscriptions.add(
            session,
            process_number=case.digits,
            api_key_id=owner.id,
            url=url,
            payload=payload,
        )
        (event_id,) = await subscriptions.claim(session, job_id, status, [str(subscription.id)])
    return event_id


async def delivery_of(database: Database, event_id: str) -> Delivery:
    async with database.transaction() as session:
        return (await session.execute(select(Delivery).where(Delivery.id == event_id))).scalar_one()


async def attempts_of(database: Database, event_id: str) -> list[Attempt]:
    query = select(Attempt).where(Attempt.delivery_id == event_id).order_by(Attempt.number)
    async with database.transaction() as session:
        return list((await session.scalars(query)).all())


async def job_of_event(database: Database, event_id: str) -> Job:
    async with database.transaction() as session:
        query = select(Job).join(Delivery, Delivery.job_id == Job.id).where(Delivery.id == event_id)
        return (await session.execute(query)).scalar_one()


async def secrets_of_owner(database: Database, owner: Owner) -> list[str]:
    """The owner's signing secrets, as receivers have them."""
    async with database.transaction() as session:
        row = await session.get(ApiKey, owner.id)
    assert row is not None
    return Secrets.load(row.webhook_secrets).opened(VAULT, now())


def verify(secret: str, received: Received) -> dict[str, object]:
    """Verify as a receiver does, with the public package."""
    event: dict[str, object] = Webhook(secret).verify(received.body, dict(received.headers))
    return event


def activities(
    database: Database,
    store: FakeStore,
    timeout: float = 15.0,
    carrier: httpx2.AsyncBaseTransport | None = None,
) -> WebhookActivities:
    """The real activities; `timeout` of the sender is in seconds."""
    sender = Sender(carrier or GuardedTransport(allow_private=True), timeout)
    return WebhookActivities(database, store, sender, VAULT, API_URL)


def webhook_worker(client: Client, made: WebhookActivities) -> Worker:
    """A worker of the webhooks' queue."""
    return Worker(
        client,
        task_queue=WEBHOOKS_QUEUE,
        workflows=[DeliverWebhookWorkflow],
        activities=[made.attempt_delivery],
    )
