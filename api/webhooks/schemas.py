"""Request and response models of the webhook routes. URLs are never returned, only their hosts."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.schemas import JOB_ID, Answer, MaskedNumber, Page, RequestBody, Timestamp, Whole

EVENT_ID: str = "evt_5b1f5d5e0a013d0f2b1c7c0a5a559d2e"
Url = Annotated[str, Field(max_length=2048, examples=["https://example.org/hooks/autos"])]
DeliveryStatus = Literal["pending", "delivered", "failed"]


class WebhookAddress(RequestBody):
    """A URL to check."""

    url: Url


class TestDelivery(RequestBody):
    """Where to send a test event."""

    __test__ = False

    url: Url
    attempts: Whole = Field(1, ge=1, le=3, description="Attempts, one after the other, until a 2xx")


class Recovery(RequestBody):
    """Which undelivered events to deliver again."""

    since: Timestamp
    cursor: str | None = Field(None, max_length=500, description="`next` of the previous answer")


class Validation(Answer):
    """Whether a URL may be used for webhooks."""

    valid: bool
    reason: str | None = Field(
        description="`shape`, `scheme`, `user`, `host`, `port`, `address` or `unresolvable`"
    )
    detail: str


class AttemptResult(Answer):
    """The result of one request to a receiver. Only the length of its response body is returned."""

    accepted: bool = Field(description="The receiver answered 2xx")
    status_code: int | None
    milliseconds: int | None
    response_length: int | None
    error: str | None
    detail: str | None


class Connectivity(AttemptResult):
    """Whether a receiver answers at all."""

    reachable: bool = Field(
        description="The receiver answered, with any status: one that takes only POST may refuse "
        "the HEAD request. If it did not answer, `error` and `detail` say why"
    )


class TestResult(Answer):
    """The result of sending a test event."""

    __test__ = False

    event_id: str
    delivered: bool
    attempts: list[AttemptResult]


class Attempt(AttemptResult):
    """One attempt of a delivery."""

    number: int
    host: str
    started_at: datetime


class Delivery(Answer):
    """The delivery of one event to one webhook."""

    id: str = Field(description="The `webhook-id` that the receiver sees", examples=[EVENT_ID])
    type: str = Field(examples=["process.download.completed"])
    process_number: MaskedNumber
    job_id: str = Field(examples=[JOB_ID])
    api_key_id: uuid.UUID
    payload: str
    status: DeliveryStatus
    attempt_count: int
    last_error: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None
    attempts: list[Attempt] | None = Field(description="With `attempts=true`, oldest first")


class DeliveryPage(Page):
    """A page of deliveries."""

    items: list[Delivery]


class Redelivery(Answer):
    """An event that is being delivered again."""

    id: str = Field(examples=[EVENT_ID])


class Recovered(Page):
    """Events that are being delivered again. If `next` is set, there are more."""

    ids: list[str]


class SigningSecret(Answer):
    """A signing secret, without its value."""

    scheme: Literal["v1", "v1a"]
    created_at: datetime
    expires_at: datetime | None = Field(
        description="When it stops signing; null if it has not been rotated"
    )


class SecretState(Answer):
    """What signs this key's webhooks."""

    secrets: list[SigningSecret]
    public_keys: list[str] = Field(description="For `v1a`, newest first", examples=[["whpk_…"]])
    overlap_seconds: int = Field(description="How long a rotated secret continues to sign")


class RevealedSecret(SecretState):
    """The secret itself. It is shown only once."""

    secret: str = Field(examples=["whsec_…"])


class Receipt(Answer):
    """A request that the test receiver got."""

    id: uuid.UUID
    webhook_id: str | None
    type: str | None
    verified: bool
    verdict: str
    body: str = Field(description="As received, without the query strings of links; at most 16 KiB")
    body_length: int
    received_at: datetime


class Receipts(Answer):
    """The requests that the test receiver keeps for this key, newest first."""

    url: str = Field(description="Use it as a webhook's URL; it accepts signed requests only")
    items: list[Receipt]
