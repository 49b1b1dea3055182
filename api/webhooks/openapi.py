"""Tells OpenAPI about the webhooks Autos sends: one entry for each type of event."""

from typing import Annotated

from fastapi import APIRouter, Body, Header

from autos.webhooks.events import FullEvent, TestEvent, ThinEvent

_SUMMARIES = {
    "process.download.completed": "A job ended with every document stored",
    "process.download.completed_with_failures": "A job ended with some documents missing",
    "process.download.failed": "A job ended with nothing to show",
    "process.download.cancelled": "A job was cancelled",
}

WebhookId = Annotated[
    str, Header(alias="webhook-id", description="The event's id, the same over attempts")
]
Timestamp = Annotated[
    int, Header(alias="webhook-timestamp", description="Unix time of this attempt, in seconds")
]
Signature = Annotated[
    str, Header(alias="webhook-signature", description="`v1,…` for every secret in force")
]


def describe(webhooks: APIRouter) -> None:
    """Add the events to an application's `webhooks`, where OpenAPI looks for them."""
    for name, summary in _SUMMARIES.items():
        webhooks.post(name, summary=summary, operation_id=f"on_{name.replace('.', '_')}")(_ended)
    webhooks.post("webhook.test", summary="A test, sent on demand", operation_id="on_webhook_test")(
        _tested
    )


async def _ended(
    webhook_id: WebhookId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
    event: Annotated[FullEvent | ThinEvent, Body()],
) -> None:
    """Answer 2xx within 15 seconds. See docs/reference/webhooks.md for what else to expect."""


async def _tested(
    webhook_id: WebhookId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
    event: Annotated[TestEvent, Body()],
) -> None:
    """Answer 2xx within 15 seconds."""
