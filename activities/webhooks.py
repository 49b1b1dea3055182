"""Makes one attempt to deliver an event: creates the links, signs, sends and records it.

Links and signature are made for each attempt and are never stored. The activity runs twice for one
attempt if its worker dies between the request and the record. The receiver then gets the same event
id twice, and the records hold the attempt once.
"""

from datetime import timedelta
from typing import Final

import structlog
from temporalio import activity

from autos import telemetry
from autos.contracts.deliveries import (
    AbandonDelivery,
    AttemptDelivery,
    AttemptedDelivery,
    DeliveryOutcome,
)
from autos.contracts.retries import webhook_delay
from autos.records import deliveries
from autos.records.database import Database
from autos.records.deliveries import DeliveryContext
from autos.records.models import Attempt, now
from autos.vault import Vault
from autos.webhooks import signing
from autos.webhooks.address_guard import host_of
from autos.webhooks.events import MAX_DOCUMENTS, Linker, compose, encode
from autos.webhooks.secrets import secrets_of
from autos.webhooks.sender import EXCERPT_BYTES, Failure, Reply, Sender

log = structlog.get_logger(__name__)

_OUTCOMES: Final = {None: DeliveryOutcome.DELIVERED, Failure.GONE: DeliveryOutcome.GONE}


class WebhookActivities:
    """Activities about deliveries."""

    def __init__(
        self, database: Database, store: Linker, sender: Sender, vault: Vault, api_url: str
    ) -> None:
        self._database = database
        self._store = store
        self._sender = sender
        self._vault = vault
        self._api_url = api_url

    @activity.defn
    async def attempt_delivery(self, request: AttemptDelivery) -> AttemptedDelivery:
        """Make one attempt; a failure of the receiver is an outcome, never an error."""
        async with self._database.transaction() as session:
            context = await deliveries.context(
                session, request.event_id, most_documents=MAX_DOCUMENTS
            )
            if context is None:
                return AttemptedDelivery(outcome=DeliveryOutcome.PURGED)
            secrets = await secrets_of(session, context.subscription.api_key_id, self._vault)
        started = now()
        body = encode(compose(context, self._store, self._api_url))
        headers = signing.headers(
            secrets.signers(self._vault, started), request.event_id, started, body
        )
        reply = await self._sender.post(context.subscription.url, headers, body.encode())
        outcome = _OUTCOMES.get(reply.failure, DeliveryOutcome.FAILED)
        retry_in = _retry_in(request, outcome, reply)
        host = host_of(context.subscription.url)
        async with self._database.transaction() as session:
            await deliveries.record_attempt(
                session,
                Attempt(
                    delivery_id=request.event_id,
                    origin=f"{activity.info().workflow_run_id}/{request.number}",
                    host=host,
                    started_at=started,
                    milliseconds=reply.milliseconds,
                    status_code=reply.status_code,
                    error=reply.failure,
                    response_length=reply.length,
                    response_excerpt=_excerpt(reply),
                ),
                delivered=reply.accepted,
                retry_in=None if retry_in is None else timedelta(seconds=retry_in),
            )
        _log(request, context, reply, retry_in, host)
        return AttemptedDelivery(
            outcome=outcome, status_code=reply.status_code, retry_in_seconds=retry_in
        )

    @activity.defn
    async def abandon_delivery(self, request: AbandonDelivery) -> None:
        """Record that no further attempt is made, because of an internal error."""
        async with self._database.transaction() as session:
            await deliveries.abandon(session, request.event_id, Failure.INTERNAL_ERROR)
        log.error("webhook_abandoned", event_id=request.event_id, attempt=request.number)


def _log(
    request: AttemptDelivery,
    context: DeliveryContext,
    reply: Reply,
    retry_in: float | None,
    host: str,
) -> None:
    given_up = not reply.accepted and retry_in is None
    (log.error if given_up else log.info)(
        "webhook_given_up" if given_up else "webhook_attempted",
        event_id=request.event_id,
        job_id=context.job.id,
        host=host,
        attempt=request.number,
        status=reply.status_code,
        milliseconds=reply.milliseconds,
        error=reply.failure,
        retry_in_seconds=None if retry_in is None else round(retry_in),
    )


def _retry_in(request: AttemptDelivery, outcome: DeliveryOutcome, reply: Reply) -> float | None:
    if outcome is not DeliveryOutcome.FAILED:
        return None
    if request.delay_seconds is None or request.longest_delay_seconds is None:
        return None
    return webhook_delay(request.delay_seconds, request.longest_delay_seconds, reply.retry_after)


def _excerpt(reply: Reply) -> bytes | None:
    """The start of the response body for the log, without links that the receiver sent back."""
    if reply.excerpt is None:
        return None
    text = reply.excerpt.decode("utf-8", "replace").replace("\\/", "/")
    return telemetry.redact(text).encode()[:EXCERPT_BYTES]
