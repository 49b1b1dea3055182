"""What the webhook routes take and answer. An address is answered to nobody; hosts are."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.http.inputs import RequestBody, Timestamp, Whole
from api.schemas import JOB_ID, Answer, MaskedNumber, Page

EVENT_EXAMPLE = "evt_5b1f5d5e0a013d0f2b1c7c0a5a559d2e"
Address = Annotated[str, Field(max_length=2048, examples=["https://example.org/hooks/autos"])]
DeliveryStatus = Literal["pending", "delivered", "failed"]


class WebhookAddress(RequestBody):
    """An address to look at."""

    url: Address


class TestDelivery(RequestBody):
    """Where to send a test event."""

    __test__ = False

    url: Address
    attempts: Whole = Field(1, ge=1, le=3, description="Tries, one after the other, until a 2xx")


class Recovery(RequestBody):
    """From when on to deliver again what never arrived."""

    since: Timestamp
    cursor: str | None = Field(None, max_length=500, description="`next` of the answer before")


class Validation(Answer):
    """Whether an address may be used for webhooks."""

    valid: bool
    reason: str | None = Field(
        description="`shape`, `scheme`, `user`, `host`, `port`, `address` or `unresolvable`"
    )
    detail: str


class Tried(Answer):
    """What came of one request to a receiver. Of its answer's body only the length is told."""

    accepted: bool = Field(description="It answered 2xx")
    status_code: int | None
    milliseconds: int | None
    response_length: int | None
    error: str | None
    detail: str | None


class Connectivity(Tried):
    """Whether a receiver answers at all."""

    reachable: bool = Field(
        description="It answered, with any status: one that takes only POST may refuse the HEAD "
        "that is asked. `error` and `detail` tell why it did not"
    )


class TestResult(Answer):
    """What came of a test event."""

    __test__ = False

    event_id: str
    delivered: bool
    attempts: list[Tried]


class Attempt(Tried):
    """One attempt of a delivery."""

    number: int
    host: str
    started_at: datetime


class Delivery(Answer):
    """One event for one webhook, and how far its delivery is."""

    id: str = Field(description="The `webhook-id` the receiver sees", examples=[EVENT_EXAMPLE])
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
    """An event on its way again."""

    id: str = Field(examples=[EVENT_EXAMPLE])


class Recovered(Page):
    """Events on their way again; with `next`, there are more."""

    ids: list[str]


class SigningSecret(Answer):
    """A secret, without the secret."""

    scheme: Literal["v1", "v1a"]
    created_at: datetime
    expires_at: datetime | None = Field(description="When it stops signing; null: not rotated")


class SecretState(Answer):
    """What signs this key's webhooks."""

    secrets: list[SigningSecret]
    public_keys: list[str] = Field(description="For `v1a`, newest first", examples=[["whpk_…"]])
    overlap_seconds: int = Field(description="How long a rotated secret goes on signing")


class ToldSecret(SecretState):
    """The secret itself. It is told this once."""

    secret: str = Field(examples=["whsec_…"])


class Receipt(Answer):
    """What the test receiver got."""

    id: uuid.UUID
    webhook_id: str | None
    type: str | None
    verified: bool
    verdict: str
    body: str = Field(description="As received, but without the queries of links; 16 KiB at most")
    body_length: int
    received_at: datetime


class Receipts(Answer):
    """What the test receiver keeps of this key, newest first."""

    url: str = Field(description="Give this as a webhook's address; it takes signed ones only")
    items: list[Receipt]
