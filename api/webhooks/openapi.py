"""The webhooks that Autos sends, as OpenAPI's `webhooks`: one entry for each type of event."""

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
    str, Header(alias="webhook-id", description="The event's id, the same for every attempt")
]
Timestamp = Annotated[
    int, Header(alias="webhook-timestamp", description="Unix time of this attempt, in seconds")
]
Signature = Annotated[
    str, Header(alias="webhook-signature", description="`v1,…` for every secret in force")
]


def describe(webhooks: APIRouter) -> None:
    """Add the events to an application's `webhooks`."""
    for name, summary in _SUMMARIES.items():
        add = webhooks.post(name, summary=summary, operation_id=f"on_{name.replace('.', '_')}")
        add(_on_job_ended)
    webhooks.post("webhook.test", summary="A test event", operation_id="on_webhook_test")(_on_test)


async def _on_job_ended(
    webhook_id: WebhookId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
    event: Annotated[FullEvent | ThinEvent, Body()],
) -> None:
    """Answer 2xx within 15 seconds. See docs/reference/webhooks.md for what else to expect."""


async def _on_test(
    webhook_id: WebhookId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
    event: Annotated[TestEvent, Body()],
) -> None:
    """Answer 2xx within 15 seconds."""
